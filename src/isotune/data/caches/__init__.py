"""Caches: decoded images between epochs, and between runs what is known of image files."""
