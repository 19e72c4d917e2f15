"""The `reli ledger` commands."""
