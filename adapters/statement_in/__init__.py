"""Files in which sources tell what we have there."""
