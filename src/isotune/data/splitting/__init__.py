"""Divides folders of images among splits."""
