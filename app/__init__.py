"""Use cases, the doors into them, and the wiring of it all."""
