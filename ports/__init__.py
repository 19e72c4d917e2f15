"""What the core needs of the world, as protocols; every method names the errors it raises."""
