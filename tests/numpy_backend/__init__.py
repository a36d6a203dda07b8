"""A third backend, complete and small: what adding one takes.

One file for each noun of :mod:`isotune.interfaces`, under the same name, and a plugin. It
trains a linear classifier in NumPy and passes every contract test that such a model can take.
"""
