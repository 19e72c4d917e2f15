"""The `reli audit` command."""
