"""Layers that run alone, on what another side's layers were given."""
