"""Amounts, prices, sides and times."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from domain.amount import Amount
from domain.asset import Asset, UnknownAsset
from domain.errors import InvalidArgument
from domain.price import Price
from domain.side import Side
from domain.waterfall import Waterfall
from reli.type.v1 import amount_pb2, side_pb2, waterfall_pb2


def amount_message(amount: Amount) -> amount_pb2.Amount:
    return amount_pb2.Amount(value=amount.value, asset=amount.asset.code)


def read_asset(code: str, assets: Mapping[str, Asset], *, field: str) -> Asset:
    """Return the asset, or raise `UnknownAsset`."""
    asset = assets.get(code)
    if asset is None:
        raise UnknownAsset(f"{field} names no asset of ours", field=field, asset=code[:32])
    return asset


def read_amount(message: amount_pb2.Amount, assets: Mapping[str, Asset], *, field: str) -> Amount:
    """Return an amount of any sign, or raise what `Amount.parse` or `read_asset` raises."""
    asset = read_asset(message.asset, assets, field=f"{field}.asset")
    return Amount.parse(message.value, asset, field=f"{field}.value")


def read_positive_amount(
    message: amount_pb2.Amount, assets: Mapping[str, Asset], *, field: str
) -> Amount:
    """Return an amount of more than zero, or raise."""
    asset = read_asset(message.asset, assets, field=f"{field}.asset")
    return Amount.parse_positive(message.value, asset, field=f"{field}.value")


def price_message(price: Price) -> amount_pb2.Price:
    return amount_pb2.Price(
        value=price.value, base_asset=price.base.code, quote_asset=price.quote.code
    )


def waterfall_message(waterfall: Waterfall) -> waterfall_pb2.Waterfall:
    return waterfall_pb2.Waterfall(
        lp=amount_message(waterfall.lp),
        fee=amount_message(waterfall.fee),
        markup=amount_message(waterfall.markup),
        total=amount_message(waterfall.total),
    )


SIDE_MESSAGE = {Side.BUY: side_pb2.SIDE_BUY, Side.SELL: side_pb2.SIDE_SELL}
_SIDE: Mapping[int, Side] = {message: side for side, message in SIDE_MESSAGE.items()}


def read_side(message: int) -> Side:
    try:
        return _SIDE[message]
    except KeyError:
        raise InvalidArgument("side must be SIDE_BUY or SIDE_SELL", field="side") from None


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def time_message(instant: datetime | None) -> Timestamp | None:
    if instant is None:
        return None
    since = instant - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)


def read_optional_time(message: Message, field: str) -> datetime | None:
    """Return the instant in that field, or None where it is absent; raises as `read_time` does."""
    return read_time(getattr(message, field), field=field) if message.HasField(field) else None


def read_time(message: Timestamp, *, field: str) -> datetime:
    """Return the instant, or raise `InvalidArgument` outside of the years 1970 to 9999."""
    try:
        instant = message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        instant = None
    if instant is None or instant.year < 1970:
        raise InvalidArgument(f"{field} is no instant after 1970", field=field)
    return instant
