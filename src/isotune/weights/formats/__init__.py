"""Reads and writes weights files; nothing in them can run code."""
