# Run by sh in the build stage. The wheels are unpacked and not installed: this Python is not the
# one that will load them.
"$PYTHON" -I bring.py "$PREFIX/kernels" "$PIP"
