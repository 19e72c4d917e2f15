"""An LP in the house's book that nobody else trades with, and the operators who settle with it."""

from dataclasses import dataclass
from typing import Any

from domain.ids import EntryId, TransferId
from reli.auth.v1 import access_pb2
from reli.ledger.v1 import ledger_pb2
from reli.ledger.v1 import ledger_service_pb2 as ledger_pb
from reli.liquidity.v1 import lp_settlement_pb2
from reli.liquidity.v1 import lp_settlement_service_pb2 as pb
from tests.support.platform import Client, Platform, amount, new_request_id

RAIL = "settlement-bank"

Settlement = lp_settlement_pb2.LpSettlement


@dataclass(frozen=True)
class LpDesk:
    """Attributes:
    second: another operator's key.
    """

    platform: Platform
    second: Client
    lp: str

    @property
    def house_id(self) -> str:
        return str(self.platform.environment.house_id)

    @property
    def operator(self) -> Client:
        return self.platform.operator

    async def owe(self, value: str, asset: str = "NGN") -> ledger_pb2.Entry:
        """Have the LP owe us so much more, or with a minus have us owe it."""
        lp = await self.account("LP", self.lp, asset)
        elsewhere = await self.account("EXTERNAL", "elsewhere", asset)
        is_ours = not value.startswith("-")
        made = await self.operator.ledger_admin.CreateEntry(
            ledger_pb.CreateEntryRequest(
                tenant_id=self.house_id,
                entry_id=str(self.platform.ids.new(EntryId)),
                transfers=[
                    ledger_pb2.Transfer(
                        id=str(self.platform.ids.new(TransferId)),
                        debit_account_id=lp if is_ours else elsewhere,
                        credit_account_id=elsewhere if is_ours else lp,
                        amount=amount(value.removeprefix("-"), asset),
                    )
                ],
                request_id=new_request_id(),
            )
        )
        entry: ledger_pb2.Entry = made.entry
        return entry

    async def account(self, kind: str, owner: str, asset: str) -> str:
        opened = await self.operator.ledger_admin.OpenAccount(
            ledger_pb.OpenAccountRequest(
                tenant_id=self.house_id,
                kind=f"ACCOUNT_KIND_{kind}",
                owner=owner,
                asset=asset,
            )
        )
        return str(opened.account.id)

    async def positions(self) -> dict[str, str]:
        listed = await self.operator.lp_settlement_admin.ListLpPositions(
            pb.ListLpPositionsRequest(lp=self.lp, page_size=200)
        )
        assert {one.lp for one in listed.positions} <= {self.lp}
        return {one.amount.asset: one.amount.value for one in listed.positions}

    async def propose(self, **fields: Any) -> Settlement:
        request = {"lp": self.lp, "rail": RAIL, "request_id": new_request_id()} | fields
        made = await self.operator.lp_settlement_admin.ProposeLpSettlement(
            pb.ProposeLpSettlementRequest(**request)
        )
        settlement: Settlement = made.settlement
        return settlement

    async def approve(self, settlement: Settlement, by: Client | None = None) -> Settlement:
        made = await (by or self.second).lp_settlement_admin.ApproveLpSettlement(
            pb.ApproveLpSettlementRequest(
                lp_settlement_id=settlement.id, request_id=new_request_id()
            )
        )
        approved: Settlement = made.settlement
        return approved

    async def settle(
        self, settlement: Settlement, reference: str = "PAY-1", request_id: str = ""
    ) -> Settlement:
        made = await self.operator.lp_settlement_admin.SettleLpSettlement(
            pb.SettleLpSettlementRequest(
                lp_settlement_id=settlement.id,
                reference=reference,
                evidence="line 7 of the bank's statement",
                request_id=request_id or new_request_id(),
            )
        )
        settled: Settlement = made.settlement
        return settled

    async def cancel(self, settlement: Settlement) -> Settlement:
        made = await self.operator.lp_settlement_admin.CancelLpSettlement(
            pb.CancelLpSettlementRequest(
                lp_settlement_id=settlement.id, request_id=new_request_id()
            )
        )
        canceled: Settlement = made.settlement
        return canceled

    async def settled(self, reference: str = "PAY-1") -> Settlement:
        """Take a settlement all the way."""
        return await self.settle(await self.approve(await self.propose()), reference)

    async def get(self, settlement: Settlement) -> Settlement:
        found = await self.operator.lp_settlement_admin.GetLpSettlement(
            pb.GetLpSettlementRequest(lp_settlement_id=settlement.id)
        )
        result: Settlement = found.settlement
        return result

    async def entry(self, leg: lp_settlement_pb2.LpSettlementLeg) -> ledger_pb2.Entry:
        found = await self.operator.ledger_admin.GetEntry(
            ledger_pb.GetEntryRequest(tenant_id=self.house_id, entry_id=leg.entry_id)
        )
        entry: ledger_pb2.Entry = found.entry
        return entry


async def an_lp_desk(platform: Platform, lp: str = "") -> LpDesk:
    second = await platform.a_client(
        str(platform.environment.house_id), [access_pb2.SCOPE_OPERATOR]
    )
    return LpDesk(platform, second, lp or f"lp-{new_request_id()}")
