"""`python -m tether_server.cli`, the same as `tether`."""

from .main import main

if __name__ == "__main__":
    raise SystemExit(main())
