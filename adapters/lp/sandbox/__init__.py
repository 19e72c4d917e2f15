"""The sandbox venue, which is a process of its own, and the adapter that trades with it."""
