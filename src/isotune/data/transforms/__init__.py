"""What happens to an image before it joins a batch."""
