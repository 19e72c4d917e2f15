"""Ids: the vectors of the TypeID specification 0.3, kinds that do not mix, instants inside."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidId
from domain.ids import CustomerId, QuoteId, TradeId, TypedId
from tests.support.builders import NOW, a_uuid, an_id


class PrefixId(TypedId):
    prefix = "prefix"
    __slots__ = ()


VALID = [
    ("00000000000000000000000000", "00000000-0000-0000-0000-000000000000"),
    ("00000000000000000000000001", "00000000-0000-0000-0000-000000000001"),
    ("0000000000000000000000000a", "00000000-0000-0000-0000-00000000000a"),
    ("0000000000000000000000000g", "00000000-0000-0000-0000-000000000010"),
    ("00000000000000000000000010", "00000000-0000-0000-0000-000000000020"),
    ("7zzzzzzzzzzzzzzzzzzzzzzzzz", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    ("0123456789abcdefghjkmnpqrs", "0110c853-1d09-52d8-d73e-1194e95b5f19"),
    ("01h455vb4pex5vsknk084sn02q", "01890a5d-ac96-774b-bcce-b302099a8057"),
]

INVALID = {
    "the prefix in upper case": "PREFIX_00000000000000000000000000",
    "a digit in the prefix": "12345_00000000000000000000000000",
    "a point in the prefix": "pre.fix_00000000000000000000000000",
    "a letter outside ASCII in the prefix": "préfix_00000000000000000000000000",
    "spaces around the prefix": "  prefix_00000000000000000000000000",
    "a prefix of 64 letters": "a" * 64 + "_00000000000000000000000000",
    "a separator without a prefix": "_00000000000000000000000000",
    "no separator": "prefix00000000000000000000000000",
    "nothing but the separator": "_",
    "nothing": "",
    "no suffix": "prefix_",
    "a suffix that is too short": "prefix_1234567890123456789012345",
    "a suffix that is too long": "prefix_123456789012345678901234567",
    "spaces in the suffix": "prefix_1234567890123456789012345 ",
    "a suffix in upper case": "prefix_0123456789ABCDEFGHJKMNPQRS",
    "hyphens in the suffix": "prefix_123456789-123456789-123456",
    "letters outside the alphabet": "prefix_ooooooiiiiiiuuuuuuulllllll",
    "ambiguous letters of Crockford": "prefix_i23456789ol23456789oi23456",
    "hyphens of Crockford": "prefix_123456789-0123456789-0123456",
    "more than 128 bits": "prefix_8zzzzzzzzzzzzzzzzzzzzzzzzz",
    "digits outside ASCII": "prefix_٠0000000000000000000000000",
    "a line end": "prefix_00000000000000000000000000\n",
    "a longer prefix": "my_prefix_00000000000000000000000000",
    "an id of another kind": "quote_00000000000000000000000000",
    "a bare UUID": "01890a5d-ac96-774b-bcce-b302099a8057",
}


@pytest.mark.parametrize(("suffix", "uuid"), VALID)
def test_a_valid_vector_reads_and_prints(suffix: str, uuid: str) -> None:
    text = f"prefix_{suffix}"

    assert PrefixId.parse(text).uuid == UUID(uuid)
    assert str(PrefixId(UUID(uuid))) == text


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID)
def test_an_invalid_vector_is_refused(text: str) -> None:
    with pytest.raises(InvalidId) as caught:
        PrefixId.parse(text, field="prefix_id")

    assert caught.value.metadata == {"field": "prefix_id", "expected_prefix": "prefix"}


@given(st.uuids())
def test_every_uuid_survives_the_round_trip(uuid: UUID) -> None:
    assert TradeId.parse(str(TradeId(uuid))) == TradeId(uuid)


@given(st.uuids(), st.uuids())
def test_text_sorts_as_the_ids_do(one: UUID, other: UUID) -> None:
    assert (QuoteId(one) < QuoteId(other)) == (str(QuoteId(one)) < str(QuoteId(other)))
    assert not QuoteId(one) < QuoteId(one)


@given(st.text())
def test_any_text_is_an_id_or_refused(text: str) -> None:
    try:
        parsed = QuoteId.parse(text)
    except InvalidId:
        return
    assert str(parsed) == text


def test_an_id_of_another_kind_is_refused_and_never_equal() -> None:
    uuid = a_uuid()

    assert QuoteId(uuid) != TradeId(uuid)
    assert len({QuoteId(uuid), TradeId(uuid), QuoteId(uuid)}) == 2
    with pytest.raises(InvalidId):
        QuoteId.parse(str(TradeId(uuid)))


def test_every_kind_has_a_prefix_of_its_own() -> None:
    kinds = [kind for kind in TypedId.__subclasses__() if kind.__module__ == "domain.ids"]
    prefixes = [kind.prefix for kind in kinds]

    assert len(kinds) >= 13
    assert len(set(prefixes)) == len(prefixes)
    assert all(prefix.isalpha() and prefix.islower() for prefix in prefixes)


def test_an_id_tells_when_it_was_made() -> None:
    at = NOW + timedelta(milliseconds=123)

    assert an_id(CustomerId, at=at).created_at == at


@given(st.integers(0, 2**48 - 1))
def test_every_instant_of_48_bits_can_be_read(milliseconds: int) -> None:
    end = datetime.max.replace(tzinfo=UTC)
    try:
        expected = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    except OverflowError:
        expected = end.replace(microsecond=999_000)

    assert QuoteId(UUID(int=milliseconds << 80)).created_at == expected


def test_only_version_seven_is_time_ordered() -> None:
    assert an_id(QuoteId).is_time_ordered
    assert not QuoteId(UUID("f81d4fae-7dec-41d0-a765-00a0c91e6bf6")).is_time_ordered


def test_an_id_shows_its_kind_to_developers() -> None:
    id = QuoteId(UUID("01890a5d-ac96-774b-bcce-b302099a8057"))

    assert repr(id) == "QuoteId(quote_01h455vb4pex5vsknk084sn02q)"
