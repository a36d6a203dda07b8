"""Where images and labels come from: each module defines one dataset format.

A format is a :class:`isotune.interfaces.dataset.DatasetFormat`. Checking a spec loads these
modules, so they import Pillow only when used.
"""
