"""Measures training steps and the data pipeline on the user's hardware.

Every measurement runs in a new process (:mod:`isotune.bench.worker`), so that peak memory and
compilation are measured separately. All measurements use the neutral interfaces.
"""
