"""Look at, search and edit files: what an agent calls in a Jupyter cell or by `skill` in a shell.

    from tether_plugins.agent_skills import open_file, search_dir
    search_dir("TODO", "src")
    open_file("src/main.py", 120)

Each function prints what it finds, with line numbers that count from 1. `open_file` opens a file
in a window of lines that `scroll_down`, `scroll_up` and `goto_line` move; `search_file` and the
editing functions take the open file where none is named. What cannot be is a Python error that
says why.
"""

from .editing import (
    append_file,
    create_file,
    edit_file,
    edit_file_by_replace,
    insert_content_at_line,
)
from .searching import find_file, search_dir, search_file
from .viewing import goto_line, open_file, scroll_down, scroll_up

__all__ = [
    "append_file",
    "create_file",
    "edit_file",
    "edit_file_by_replace",
    "find_file",
    "goto_line",
    "insert_content_at_line",
    "open_file",
    "scroll_down",
    "scroll_up",
    "search_dir",
    "search_file",
]
