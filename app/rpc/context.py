"""The types of what grpc hands over; its classes take no type arguments at run time."""

from typing import Any

Context = Any
Handler = Any
