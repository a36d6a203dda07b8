"""The page of a service: images in, bars of the classes and an explanation out."""
