"""It takes a second until it is imported."""

import time

from .plugin import Bad as Bad

time.sleep(1)
