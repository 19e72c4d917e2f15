"""What becomes of an accept whose first try was undone, and whose request was another's by then."""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from app.usecase.call import Call
from app.usecase.quote.accept_quote import AcceptQuote
from domain.ids import ApiKeyId, QuoteId, TenantId, TradeId
from domain.liquidity.lp import Lp
from domain.trade.trade import Trade
from ports.trade import TradeLease
from tests.support.builders import a_trade, an_id


@dataclass(slots=True)
class Runner:
    places: int = 0

    def reserve(self, tenant_id: TenantId) -> None:
        self.places += 1

    def give_back(self, tenant_id: TenantId) -> None:
        self.places -= 1

    def start(self, lease: TradeLease, accepted: Trade | None = None) -> Awaitable[Trade | None]:
        raise AssertionError(f"started {lease}")


class Desk:
    async def lps(self) -> Mapping[str, Lp]:
        return {}


class Ids:
    def new(self, kind: type[Any]) -> Any:
        return an_id(kind)


@dataclass(frozen=True, slots=True)
class OnceUndone:
    """Undoes the effect, and finds that somebody else has had it by then."""

    others: Trade

    async def __call__(
        self, call: Call, id: TradeId, effect: Any, replay: Any, *, in_company: bool
    ) -> Trade:
        await effect(None)
        return self.others


class Accepting(AcceptQuote):
    async def _accept(
        self, uow: Any, call: Call, quote_id: QuoteId, trade_id: TradeId, lps: Any
    ) -> tuple[Trade, TradeLease]:
        trade = replace(a_trade(), id=trade_id)
        lease = TradeLease(tenant_id=trade.tenant_id, trade_id=trade_id, token=1)
        return trade, lease


async def test_only_who_accepted_a_trade_runs_it() -> None:
    others, runner = a_trade(), Runner()
    accept: Any = Accepting(
        units_of_work=None,  # type: ignore[arg-type]
        once=OnceUndone(others),  # type: ignore[arg-type]
        ids=Ids(),
        announce=None,  # type: ignore[arg-type]
        runner=runner,
        desk=Desk(),  # type: ignore[arg-type]
        lease_for=timedelta(seconds=3),
        answer_within=timedelta(seconds=2),
    )
    call = Call(
        tenant_id=others.tenant_id,
        api_key_id=an_id(ApiKeyId),
        scopes=frozenset(),
        method="AcceptQuote",
        correlation_id="correlation",
    )

    assert await accept(call, an_id(QuoteId)) is others
    assert runner.places == 0
