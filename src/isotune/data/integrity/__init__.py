"""Finds images that cannot be read, and remembers which were checked."""
