"""What a comparison has found: as JSON, as text and as a figure."""
