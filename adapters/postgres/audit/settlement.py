"""Which transfers every trade must have, read off the domain's own rules.

The domain settles sample trades whose amounts are all different, so each movement of theirs tells
which amount of a trade it moves. The audit adds the books up by these rules and has none of its
own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from domain.amount import Amount
from domain.asset import Asset, Instrument
from domain.ids import ApiKeyId, AttemptId, EntryId, QuoteId, TenantId, TradeId, TransferId
from domain.ledger.transfer import TransferKind
from domain.party import Party
from domain.side import Side
from domain.trade.attempt import Attempt, AttemptState
from domain.trade.settlement import Movement, Role, hold, release, settlement
from domain.trade.trade import LedgerIds, Trade
from domain.waterfall import Waterfall

_BASE: Final = Asset("BASE", 0)
_QUOTE: Final = Asset("QUOTE", 0)
_ID: Final = UUID(int=0)
_GAIN: Final = {Side.BUY: -1, Side.SELL: 1}
"""Which way the LP's real amount must differ from the quoted one for the operator to gain."""

ROLE_KIND: Final = {role: "trade_clearing" if role is Role.CLEARING else role for role in Role}
"""The account kind of a role; a party's is a customer's or the treasury's."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One transfer that a trade of a side must have.

    Attributes:
        entry: `hold`, `settlement` or `release`.
        place: its place in the entry, as long as none before it is left out for being zero.
        part: the column of `core.trades` whose units are moved, or `gain` or `loss`.
        asset: `base_asset` or `quote_asset`.
    """

    side: str
    entry: str
    place: int
    kind: str
    debit: str
    credit: str
    part: str
    asset: str
    purpose: str


def rules() -> tuple[Rule, ...]:
    """Return the transfers of both sides, in the order in which the domain lists them."""
    return tuple(rule for side in Side for rule in _rules(side))


def _rules(side: Side) -> Iterator[Rule]:
    gain, loss = _sample(side, slippage=5), _sample(side, slippage=-3)
    yield _rule(gain, "hold", 1, hold(gain), TransferKind.PENDING)
    yield _rule(gain, "release", 1, release(gain), TransferKind.VOID)
    settled = [*settlement(gain), settlement(loss)[-1]]
    for place, movement in enumerate(settled, start=1):
        kind = TransferKind.POST if place == 1 else TransferKind.REGULAR
        yield _rule(gain, "settlement", place, movement, kind)


def _rule(trade: Trade, entry: str, place: int, movement: Movement, kind: TransferKind) -> Rule:
    parts = trade.waterfall
    column = {
        trade.base_amount: "base_units",
        parts.total: "quote_units",
        parts.lp: "lp_units",
        parts.fee: "fee_units",
        parts.markup: "markup_units",
        Amount(_QUOTE, 5): "gain",
        Amount(_QUOTE, 3): "loss",
    }
    return Rule(
        side=trade.side,
        entry=entry,
        place=place,
        kind=kind,
        debit=ROLE_KIND[movement.debit],
        credit=ROLE_KIND[movement.credit],
        part=column[movement.amount],
        asset="base_asset" if movement.amount.asset == _BASE else "quote_asset",
        purpose=movement.purpose,
    )


def _sample(side: Side, *, slippage: int) -> Trade:
    lp, fee, markup = (Amount(_QUOTE, units) for units in (10_000, 200, 70))
    total = lp + fee + markup if side is Side.BUY else lp - fee - markup
    filled = Amount(_QUOTE, lp.units + _GAIN[side] * slippage)
    return Trade(
        id=TradeId(_ID),
        tenant_id=TenantId(_ID),
        quote_id=QuoteId(_ID),
        party=Party(None),
        side=side,
        instrument=Instrument(_BASE, _QUOTE),
        base_amount=Amount(_BASE, 7),
        quote_amount=total,
        waterfall=Waterfall(side=side, lp=lp, fee=fee, markup=markup, total=total),
        lp_order=(),
        tolerance_bps=0,
        accepted_at=datetime.min.replace(tzinfo=UTC),
        accepted_by=ApiKeyId(_ID),
        correlation_id="",
        ledger_ids=LedgerIds(
            hold_entry=EntryId(_ID),
            hold=TransferId(_ID),
            settlement_entry=EntryId(_ID),
            settlement=(),
            release_entry=EntryId(_ID),
            release=TransferId(_ID),
        ),
        attempts=(
            Attempt(
                id=AttemptId(_ID),
                number=1,
                lp="",
                state=AttemptState.FILLED,
                filled_amount=filled,
            ),
        ),
    )
