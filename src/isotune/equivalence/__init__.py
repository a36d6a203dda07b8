"""Whether two sides train alike, and the first place where they do not.

A *side* is a backend on a device with its precision and versions. What it computes in some training
steps is its *trace* (``traces``), which is recorded with the framework (``recording``; ``local``
runs single layers) and compared without any (``comparing``; ``causes`` knows what typical faults
look like). A *certificate* (``certificates``) says what was found. Start reading at
:mod:`isotune.equivalence.certify`.
"""
