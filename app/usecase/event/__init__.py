"""What becomes of events that a consumer cannot deal with."""
