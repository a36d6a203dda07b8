"""What a trace holds, and its file."""
