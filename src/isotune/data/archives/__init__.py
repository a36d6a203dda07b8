"""Unpacks untrusted archives, and reads the files in them without unpacking."""
