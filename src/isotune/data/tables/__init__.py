"""Reads tables of images: CSV, TSV and JSON lines."""
