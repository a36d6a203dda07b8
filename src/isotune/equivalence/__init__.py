"""Whether two sides train alike, and the first place where they do not.

A *side* is a backend on a device with its precision and versions. What it computes in some training
steps is its *trace* (:mod:`isotune.equivalence.trace`). Two traces are compared without any
framework; a *certificate* says what was found.
"""
