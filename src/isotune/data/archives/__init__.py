"""Unpacks archives that nobody vouches for."""
