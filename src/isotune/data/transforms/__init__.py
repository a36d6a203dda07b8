"""Transforms: each module defines one kind, or one family: its options and what it does.

A kind is a :class:`isotune.spec.transforms.TransformSpec`. Its numbers are drawn first, then the
operation that holds them is applied. They come from ``Generator.random()`` alone: uniform doubles
in [0, 1), which NumPy keeps the same from version to version where other methods may change.
Distributions are torchvision's, and results are byte for byte those of
``torchvision.transforms.functional`` on Pillow images, except for rounding in ``gaussian_blur``.
Positions and sizes are in pixels, with the origin at the top left. Checking a spec loads these
modules, so they import Pillow only when used.
"""
