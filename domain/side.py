"""Which way the customer trades the base asset."""

from enum import StrEnum


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"
