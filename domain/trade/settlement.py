"""Which accounts move when a trade is held, settled or released.

Settlement of a buy: the hold is posted; clearing pays the LP its quoted cost, the platform its fee
and the tenant its markup; the LP delivers the base. A sale mirrors it. Where the LP's real amount
differs from the quoted one, the difference moves between the LP and slippage, which the operator
bears and keeps; the customer's amounts never change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.amount import Amount
from domain.side import Side
from domain.trade.trade import Trade


class Role(StrEnum):
    """The part an account plays in a trade."""

    PARTY = "party"
    CLEARING = "clearing"
    LP = "lp"
    PLATFORM_FEE = "platform_fee"
    TENANT_MARKUP = "tenant_markup"
    SLIPPAGE = "slippage"


class Purpose(StrEnum):
    """What a movement of a trade is for."""

    HOLD = "hold"
    RELEASE = "release"
    PAYMENT = "payment"
    LP_COST = "lp_cost"
    LP_PROCEEDS = "lp_proceeds"
    DELIVERY = "delivery"
    PLATFORM_FEE = "platform_fee"
    TENANT_MARKUP = "tenant_markup"
    SLIPPAGE = "slippage"


@dataclass(frozen=True, slots=True)
class Movement:
    """One transfer to be, by role instead of account."""

    debit: Role
    credit: Role
    amount: Amount
    purpose: Purpose


SETTLEMENT_MOVEMENTS = 6
"""The most movements one settlement has, the posting of the hold included."""


def hold(trade: Trade) -> Movement:
    return Movement(Role.PARTY, Role.CLEARING, trade.gives, Purpose.HOLD)


def release(trade: Trade) -> Movement:
    return Movement(Role.PARTY, Role.CLEARING, trade.gives, Purpose.RELEASE)


def settlement(trade: Trade) -> tuple[Movement, ...]:
    """Return the movements of a filled trade, the posting of its hold first."""
    parts = trade.waterfall
    movements = [Movement(Role.PARTY, Role.CLEARING, trade.gives, Purpose.PAYMENT)]
    if trade.side is Side.BUY:
        movements += [
            Movement(Role.CLEARING, Role.LP, parts.lp, Purpose.LP_COST),
            Movement(Role.CLEARING, Role.PLATFORM_FEE, parts.fee, Purpose.PLATFORM_FEE),
            Movement(Role.CLEARING, Role.TENANT_MARKUP, parts.markup, Purpose.TENANT_MARKUP),
            Movement(Role.LP, Role.PARTY, trade.base_amount, Purpose.DELIVERY),
        ]
        gain = parts.lp - trade.lp_fill
    else:
        movements += [
            Movement(Role.CLEARING, Role.LP, trade.base_amount, Purpose.DELIVERY),
            Movement(Role.LP, Role.PARTY, parts.total, Purpose.LP_PROCEEDS),
            Movement(Role.LP, Role.PLATFORM_FEE, parts.fee, Purpose.PLATFORM_FEE),
            Movement(Role.LP, Role.TENANT_MARKUP, parts.markup, Purpose.TENANT_MARKUP),
        ]
        gain = trade.lp_fill - parts.lp
    if gain.units > 0:
        movements.append(Movement(Role.LP, Role.SLIPPAGE, gain, Purpose.SLIPPAGE))
    elif gain.units < 0:
        movements.append(Movement(Role.SLIPPAGE, Role.LP, -gain, Purpose.SLIPPAGE))
    moved = tuple(movement for movement in movements if movement.amount.units)
    _assert_waterfall(trade, moved)
    return moved


def _assert_waterfall(trade: Trade, movements: Sequence[Movement]) -> None:
    """Assert that postings = waterfall + slippage, role by role."""
    base, quote = trade.instrument.base, trade.instrument.quote
    sign = 1 if trade.side is Side.BUY else -1
    parts = trade.waterfall
    expected = {
        (Role.PARTY, base): sign * trade.base_amount.units,
        (Role.PARTY, quote): -sign * trade.quote_amount.units,
        (Role.LP, base): -sign * trade.base_amount.units,
        (Role.LP, quote): sign * trade.lp_fill.units,
        (Role.PLATFORM_FEE, quote): parts.fee.units,
        (Role.TENANT_MARKUP, quote): parts.markup.units,
        (Role.SLIPPAGE, quote): sign * (parts.lp.units - trade.lp_fill.units),
    }
    found: dict[tuple[Role, object], int] = {}
    for movement in movements:
        for role, units in (
            (movement.debit, -movement.amount.units),
            (movement.credit, movement.amount.units),
        ):
            key = (role, movement.amount.asset)
            found[key] = found.get(key, 0) + units
    moved = {key: units for key, units in found.items() if units}
    assert moved == {key: units for key, units in expected.items() if units}, (
        f"{trade.id}: postings {moved} are not the waterfall {expected}"
    )
