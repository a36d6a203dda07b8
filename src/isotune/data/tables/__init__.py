"""Reads tables of images: CSV, TSV, JSON lines and Parquet."""
