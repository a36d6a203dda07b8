"""Unpacks untrusted archives."""
