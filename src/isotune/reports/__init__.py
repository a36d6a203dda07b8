"""Tables and pictures made from runs."""
