"""A third backend, complete and small: what adding one takes.

One file for each noun of :mod:`isotune.interfaces`, under the same name, a plugin, and the layers
that a framework would bring along. It trains small nets in NumPy and float32.
"""
