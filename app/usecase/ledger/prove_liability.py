"""Proving that a customer's balance is counted."""

from dataclasses import dataclass

from domain.asset import Asset
from domain.ids import CustomerId, TenantId
from domain.ledger.errors import AccountNotFound, LiabilityNotInSheet
from domain.ledger.liability import LiabilityProof
from ports.unit_of_work import UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class ProveLiability:
    """By the latest sheet of the asset."""

    units_of_work: UnitOfWorkFactory

    async def __call__(
        self, tenant_id: TenantId, customer_id: CustomerId, asset: Asset
    ) -> LiabilityProof:
        """Return the proof.

        Raises `CustomerNotFound`, `AccountNotFound` for a customer who never had the asset, or
        `LiabilityNotInSheet` while no sheet has the account.
        """
        async with self.units_of_work.begin(tenant_id) as uow:
            await uow.customers.get(customer_id)
            accounts = await uow.ledger.customer_accounts(customer_id)
            if asset not in [account.asset for account in accounts]:
                raise AccountNotFound(
                    "the customer has no account in the asset",
                    customer_id=customer_id,
                    asset=asset,
                )
            kept = await uow.liabilities.find(customer_id, asset.code)
        proof = kept.proof(customer_id) if kept else None
        if proof is None:
            raise LiabilityNotInSheet(
                "no sheet has the customer's balance yet", customer_id=customer_id, asset=asset
            )
        return proof
