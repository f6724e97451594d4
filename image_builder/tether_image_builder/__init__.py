"""Puts the runtime client into an image."""
