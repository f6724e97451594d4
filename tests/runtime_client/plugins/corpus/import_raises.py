"""It cannot be imported."""

raise ValueError("not today")
