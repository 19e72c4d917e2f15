"""Fields of a statement, whatever it is written in."""

from collections.abc import Mapping
from datetime import UTC, datetime

from domain.amount import Amount
from domain.asset import Asset
from domain.errors import DomainError
from domain.reconciliation.errors import (
    StatementAssetMismatch,
    StatementMalformed,
    StatementTimeOutOfRange,
)

SHOWN = 40
"""How much of a wrong text a refusal repeats."""


def read_asset(code: str, assets: Mapping[str, Asset], *, place: str) -> Asset:
    """Return the asset, or raise `StatementAssetMismatch`."""
    asset = assets.get(code)
    if asset is None:
        raise StatementAssetMismatch(
            f"{place}: {code[:SHOWN]!r} is no asset of ours", place=place, asset=code[:SHOWN]
        )
    return asset


def read_amount(text: str, asset: Asset, *, place: str) -> Amount:
    """Return the amount, or raise `StatementMalformed`."""
    try:
        return Amount.parse(text, asset, field="the amount")
    except DomainError as error:
        raise StatementMalformed(f"{place}: {error.message}", place=place) from error


def read_time(text: str, *, place: str) -> datetime:
    """Return an instant with its zone, or raise `StatementMalformed`."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise StatementMalformed(
            f"{place}: {text[:SHOWN]!r} is no time such as 2026-03-02T09:30:00Z", place=place
        )
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise StatementTimeOutOfRange(
            f"{place}: {text[:SHOWN]!r} is beyond the calendar", place=place
        ) from error
