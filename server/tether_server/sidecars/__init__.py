"""Parts of plugins that run in containers of their own, beside a sandbox's.

A sidecar is in its sandbox's network and PID namespaces: the kernel ends it with the sandbox's
first process, whoever ended that, and whether a server was there or not.
"""
