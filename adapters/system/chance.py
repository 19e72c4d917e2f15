"""The machine's chance."""

import random

from ports.chance import Chance


class SystemChance(Chance):
    """Quick, and good enough to spread things out."""

    def below(self, limit: int) -> int:
        return random.randrange(limit)
