"""Which parts of an image decided: Grad-CAM and attention rollout."""
