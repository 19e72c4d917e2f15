"""Double entry: accounts, transfers, entries."""
