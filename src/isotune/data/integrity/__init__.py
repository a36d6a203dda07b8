"""Finds images that cannot be read."""
