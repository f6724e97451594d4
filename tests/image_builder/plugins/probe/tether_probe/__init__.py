"""Nothing of a plugin is imported where its image is made: there this fails."""

import os

if os.path.exists("/recipe/relocate.py"):
    raise ImportError("it was imported")
