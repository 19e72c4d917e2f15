"""Which of the LPs that gave a price is used: the rule, and what an LP did lately."""

from enum import StrEnum
from typing import NamedTuple


class RoutingRule(StrEnum):
    """How the LP of a quote is chosen, set per tenant and instrument by the operator."""

    BEST_PRICE = "best_price"
    """The best price for the customer; of two alike the earlier one in the tenant's order."""

    PRIMARY_BACKUP = "primary_backup"
    """The first in the tenant's order that gives a usable price, whatever the others give."""

    SCORE = "score"
    """The highest score of price, fills, speed and refusals."""


class LpRecord(NamedTuple):
    """What became of the calls to an LP over a while, in counts.

    Attributes:
        quoted, refused, late, failed: requests for quotes by what came of them: a price, the word
            that there is none, nothing within the budget, or no answer that can be understood.
        filled, rejected, unknown, not_sent: orders by what was known of them first.
        quote_ms: how long the prices took together, in milliseconds.
    """

    quoted: int = 0
    refused: int = 0
    late: int = 0
    failed: int = 0
    filled: int = 0
    rejected: int = 0
    unknown: int = 0
    not_sent: int = 0
    quote_ms: int = 0

    @property
    def requests(self) -> int:
        return self.quoted + self.refused + self.late + self.failed

    @property
    def orders(self) -> int:
        return self.filled + self.rejected + self.unknown + self.not_sent
