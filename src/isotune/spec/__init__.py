"""The experiment spec: pydantic models, and loading them from YAML."""
