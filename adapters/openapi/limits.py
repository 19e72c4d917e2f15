"""The limits that a field's comment and name tell, as JSON Schema.

The comment is the contract: who reads "1 to 64 characters" there reads `maxLength: 64` here, and a
test breaks each of them at the running platform.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from domain.ids import TypedId
from ports.page import MAX_PAGE_SIZE

_NUMBER: Final = r"(\d[\d,]*)"
_LENGTH: Final = re.compile(
    rf"(?:{_NUMBER} to|at most) {_NUMBER} (?:[a-zA-Z-]+ )*?(?:characters|letters)"
)
_RANGE: Final = re.compile(rf"\b{_NUMBER} to {_NUMBER}\b(?! characters)")
_EXAMPLE: Final = re.compile(r'[Ss]uch as "([^"]+)"')
_SOME_ID: Final = "01h455vb4pex5vsknk084sn02q"
_ID_DIGITS: Final = "[0-7][0-9a-hjkmnp-tv-z]{25}"

PRINTABLE: Final = r"^[\x20-\x7e]*$"
DECIMAL: Final = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$"


def text_limits(name: str, comment: str, *, is_required: bool) -> dict[str, Any]:
    """Return what a text must be like; one that is not required may be empty."""
    if pattern := id_pattern(name, is_required=is_required):
        return {"pattern": pattern, "examples": [f"{_prefix_of(name)}_{_SOME_ID}"]}
    limits: dict[str, Any] = {"format": "date"} if name == "day" else {}
    if length := _LENGTH.search(comment):
        least, most = length.groups()
        if is_required:
            limits["minLength"] = _int(least or "1")
        limits["maxLength"] = _int(most)
    if "printable ASCII characters" in comment:
        limits["pattern"] = PRINTABLE
    return limits | examples(comment)


def number_limits(name: str, comment: str) -> dict[str, int]:
    """Return the least and the greatest value, where the comment names them."""
    if name == "page_size":
        return {"minimum": 0, "maximum": MAX_PAGE_SIZE}
    return _range(comment, "minimum", "maximum")


def list_limits(comment: str, *, is_required: bool) -> dict[str, int]:
    """Return how many there may be; a list that is not required may be empty."""
    limits = _range(comment, "minItems", "maxItems")
    if not is_required:
        limits.pop("minItems", None)
    return limits


def examples(comment: str) -> dict[str, list[str]]:
    found = _EXAMPLE.search(comment)
    return {"examples": [found[1]]} if found else {}


def id_pattern(name: str, *, is_required: bool) -> str:
    """Return the form of an id in a field of that name, or nothing where it holds none of ours."""
    prefix = _prefix_of(name)
    if not prefix:
        return ""
    text = f"{prefix}_{_ID_DIGITS}"
    return f"^{text}$" if is_required else f"^({text})?$"


def _prefix_of(name: str) -> str:
    words = name.split("_")
    # `debit_account_id` holds an account's id, `lp_settlement_id` one of a settlement with an LP.
    candidates = ("_".join(words[start:]) for start in range(len(words)))
    return next((PREFIX_OF_FIELD[one] for one in candidates if one in PREFIX_OF_FIELD), "")


def _ids() -> Iterator[tuple[str, str]]:
    for kind in TypedId.__subclasses__():
        words = re.findall(r"[A-Z][a-z]+", kind.__name__)
        yield "_".join(words).lower(), kind.prefix


PREFIX_OF_FIELD: Final[Mapping[str, str]] = dict(_ids())
"""From the name of a field that holds an id, such as `quote_id`, to the prefix of such ids."""


def _range(comment: str, least: str, greatest: str) -> dict[str, int]:
    found = _RANGE.search(comment)
    return {least: _int(found[1]), greatest: _int(found[2])} if found else {}


def _int(text: str) -> int:
    return int(text.replace(",", ""))
