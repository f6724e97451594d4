"""Shows an agent's Markdown pages in a browser, and tells which of their links are broken."""
