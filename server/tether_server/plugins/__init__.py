"""Plugins as the server sees them: what was asked for, what there is, and their own messages.

Nothing is imported here: most sandboxes have no plugin.
"""
