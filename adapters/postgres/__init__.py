"""PostgreSQL: the one place that decides."""
