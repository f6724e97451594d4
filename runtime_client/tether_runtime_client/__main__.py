"""`python -m tether_runtime_client` is `tether-runtime-client`."""

import sys

from tether_runtime_client.cli import main

sys.exit(main())
