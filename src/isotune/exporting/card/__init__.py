"""Model cards: what is known of a run's model, as Markdown or as one HTML file."""
