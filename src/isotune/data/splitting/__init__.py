"""Splits folders of images into datasets."""
