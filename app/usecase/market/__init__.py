"""What can be held and traded."""
