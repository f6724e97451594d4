"""Plugins in images: found, made into images of their own, and copied from there.

A build without plugins loads none of it.
"""
