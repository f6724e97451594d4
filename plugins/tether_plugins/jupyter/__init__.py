"""The plugin `jupyter`: Python cells in Jupyter kernels."""
