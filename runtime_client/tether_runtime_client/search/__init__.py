"""Searching trees: find, grep and disk usage, in a process of their own.

`python -m tether_runtime_client.search` reads one request from its standard input and writes one
answer. A process, because a search may take all of a processor, run into an expression that takes
for ever or into a file system that hangs: it is ended with a signal, and nothing else waits for
it. It imports next to nothing of the client, so it is there in 20 ms.
"""
