"""Decoded images, kept between epochs."""
