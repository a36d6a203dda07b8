"""Measures what a training step costs, on a person's own hardware.

Every measurement runs in a process of its own (:mod:`isotune.bench.worker`), so that its peak
memory and its compilation are its own. Everything goes through the neutral interfaces.
"""
