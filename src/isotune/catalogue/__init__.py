"""What is known of every backbone without a framework."""
