"""Where images and labels come from: one dataset format a module."""
