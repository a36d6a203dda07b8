"""From images to a trained classifier: looks at both data and device, and writes the spec."""
