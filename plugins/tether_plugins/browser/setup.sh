# Run by sh in the build stage, where Debian's Chromium is installed for it.
"$PYTHON" -I closure.py "$PREFIX" "$SITE"
