"""The contract on this repository's backends, and what they are compared with beyond it."""
