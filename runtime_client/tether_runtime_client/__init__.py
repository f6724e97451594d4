"""The runtime client: what runs inside the sandbox."""
