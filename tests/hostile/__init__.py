"""Suites of hostile inputs: ``python tests/hostile`` runs all of them.

A module of this package defines ``SUITES``, a tuple of :class:`hostile.harness.Suite`.
"""
