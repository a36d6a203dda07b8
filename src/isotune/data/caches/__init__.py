"""Caches decoded images between epochs."""
