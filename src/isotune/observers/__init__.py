"""Observers that a spec names: each module defines one kind, an :class:`ObserverSpec`.

Checking a spec loads these modules, so they import other packages only when a run starts.
"""
