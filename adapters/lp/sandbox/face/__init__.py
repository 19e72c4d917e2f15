"""The wire formats in which a sandbox venue can speak; they share no code with any adapter."""

from typing import Final

OWN: Final = "sandbox"
"""The wire format of the sandbox's own."""
