"""Finds images that cannot be read, and caches the results."""
