"""The wire formats in which a sandbox venue can speak; they share no code with any adapter."""
