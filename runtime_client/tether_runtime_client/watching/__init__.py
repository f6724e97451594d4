"""Watching files and trees with the kernel's inotify. Imported at the first watch only."""
