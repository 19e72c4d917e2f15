"""What exists in a sandbox only."""
