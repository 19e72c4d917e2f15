"""What a settled trade means for the house: its fee, its slippage, its positions at LPs."""

from domain.amount import Amount
from domain.trade.settlement import Role, settlement
from domain.trade.trade import Trade

HOUSE_ROLES = (Role.LP, Role.PLATFORM_FEE, Role.SLIPPAGE)


def house_changes(trade: Trade) -> dict[Role, tuple[Amount, ...]]:
    """Return, by role, how the tenant's accounts changed that the house keeps a mirror of.

    A positive amount raised the account. An amount of zero is left out.
    """
    changes: dict[Role, dict[str, Amount]] = {role: {} for role in HOUSE_ROLES}
    for movement in settlement(trade):
        for role, amount in (
            (movement.debit, -movement.amount),
            (movement.credit, movement.amount),
        ):
            if role in changes:
                of_role = changes[role]
                code = amount.asset.code
                of_role[code] = of_role[code] + amount if code in of_role else amount
    return {
        role: tuple(amount for amount in of_role.values() if amount.units)
        for role, of_role in changes.items()
    }
