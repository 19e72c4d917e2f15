"""Python's cyclic garbage collector, told that a server's objects live long."""

import gc
from typing import Final

THRESHOLD: Final = 50_000


def settle_down() -> None:
    """Leave what start-up made alone, and look for cycles less often.

    Calls make few cycles; with the default of 700 objects the collector walks all of them many
    times a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(THRESHOLD, 20, 50)
