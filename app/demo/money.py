"""Amounts as the API writes them: compared exactly, shown with separators."""

from typing import Final

from app.demo.partner import Json

SCALES: Final = {"NGN": 2, "BTC": 8}


def minor(value: str) -> int:
    """Return the minor units of an answered value, which has all digits of its asset."""
    return int(value.replace(".", ""))


def units(amount: Json) -> int:
    return minor(amount["value"])


def text(of: int, digits: int) -> str:
    """Return minor units as a decimal number, such as 1,513,521.00."""
    whole, fraction = divmod(abs(of), 10**digits)
    sign = "-" if of < 0 else ""
    return f"{sign}{whole:,}" + (f".{fraction:0{digits}d}" if digits else "")


def shown(amount: Json) -> str:
    return text(units(amount), SCALES[amount["asset"]])
