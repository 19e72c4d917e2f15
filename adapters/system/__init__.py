"""The process's own clock, chance and tasks."""
