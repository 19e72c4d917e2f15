"""Who trades: one of the tenant's customers, or the tenant's own treasury."""

from dataclasses import dataclass

from domain.ids import CustomerId


@dataclass(frozen=True, slots=True)
class Party:
    """The party of a quote and its trade; without a customer it is the treasury."""

    customer_id: CustomerId | None = None

    @property
    def is_treasury(self) -> bool:
        return self.customer_id is None


TREASURY = Party()
