"""A web application for one trained model: a page, and an endpoint for programs."""
