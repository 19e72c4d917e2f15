"""Answers are read exactly, or not at all."""

import json
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.lp.http import MAX_EVIDENCE, Answer
from adapters.lp.reading import BadAnswer, Fields, expect_any, of_taken_order
from domain.amount import Amount
from domain.trade.outcome import ORDER_WORKING
from tests.support.builders import BTC, NGN, btc, ngn


def fields(**values: Any) -> Fields:
    return Fields.of(Answer(200, json.dumps(values).encode()))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b'"text"',
        b"[]",
        b"{",
        b'{"a": 1, "a": 1}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e99999999999999999999}',
        b'{"a": ' + b"9" * 5_000 + b"}",
        b"\xff\xfe",
        b"[" * 60_000,
    ],
)
def test_what_is_no_object_of_plain_json_is_unreadable(body: bytes) -> None:
    with pytest.raises(BadAnswer) as bad:
        Fields.of(Answer(200, body))

    assert bad.value.reason == "LP_ANSWER_UNREADABLE"


AMOUNTS: Final = st.integers(min_value=1, max_value=10**30)


@settings(derandomize=True, deadline=None)
@given(units=AMOUNTS, zeros=st.integers(min_value=0, max_value=20))
def test_an_amount_is_read_to_the_last_digit_whatever_zeros_follow(units: int, zeros: int) -> None:
    amount = Amount(BTC, units)

    assert fields(a=amount.value + "0" * zeros).amount("a", BTC) == amount


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 1, 1.5, "", "1e-2", "NaN", "-1", "0", "0.00", "00.1", ".5", "1.", " 1"),
        *("1,000", "0.001", "1.0010", "9" * 40, "1" + "0" * 31, "٣"),
    ],
)
def test_what_is_no_positive_amount_of_the_asset_is_unreadable(value: Any) -> None:
    with pytest.raises(BadAnswer):
        fields(a=value).amount("a", NGN)


def test_nothing_may_be_an_amount_where_it_is_asked_for() -> None:
    assert fields(a="0.00000000").amount("a", BTC, or_zero=True) == Amount(BTC, 0)
    with pytest.raises(BadAnswer):
        fields(a="-0.1").amount("a", BTC, or_zero=True)


@pytest.mark.parametrize(
    ("value", "id"),
    [("a-7", "a-7"), (933256278426274426, "933256278426274426"), (2**64 - 1, str(2**64 - 1))],
)
def test_an_id_is_a_text_or_a_number_of_64_bits(value: Any, id: str) -> None:
    assert fields(a=value).identifier("a") == id


@pytest.mark.parametrize(
    "value", [None, True, -1, 2**64, 1.0, 9.3e17, "", "a b", "a\n", "ä", "a" * 129, ["a"]]
)
def test_what_is_no_id_is_unreadable(value: Any) -> None:
    with pytest.raises(BadAnswer):
        fields(a=value).identifier("a")


@pytest.mark.parametrize(("value", "code"), [("51001", "51001"), (-2013, "-2013"), (0, "0")])
def test_a_code_is_a_text_or_a_whole_number(value: Any, code: str) -> None:
    assert fields(a=value).code("a") == code


@pytest.mark.parametrize(
    "value",
    [None, True, 1.0, 10**128, "", "a b", "a\n", "\x00", "\ud800", "ä", "a" * 129, ["a"], {}],
)
def test_what_is_no_code_is_unreadable(value: Any) -> None:
    with pytest.raises(BadAnswer):
        fields(a=value).code("a")


def test_times_are_read_with_their_zone_or_as_milliseconds() -> None:
    at = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)

    assert fields(a="2026-03-02T12:30:00+03:00").time("a") == at
    assert fields(a=1772443800000).unix_time("a") == at
    assert fields(a="1772443800000").unix_time("a") == at


@pytest.mark.parametrize("value", [None, True, -1, 1.5, "1.5", "soon", "9" * 15, 10**15])
def test_what_is_no_number_of_milliseconds_is_unreadable(value: Any) -> None:
    with pytest.raises(BadAnswer):
        fields(a=value).unix_time("a")


@settings(derandomize=True, deadline=None)
@given(
    base=st.integers(min_value=1, max_value=10**14),
    cents=st.integers(min_value=1, max_value=10**12),
)
def test_a_price_that_a_venue_rounded_fits_its_amounts_and_a_wrong_one_does_not(
    base: int, cents: int
) -> None:
    units = base * cents // 10**8
    price = f"{cents // 100}.{cents % 100:02}"
    quote = Amount(NGN, max(units, 1))

    fields(a=price).expect_price("a", Amount(BTC, base), quote)
    if units > 10_000 and cents > 10_000:
        with pytest.raises(BadAnswer):
            fields(a=f"9{price}").expect_price("a", Amount(BTC, base), quote)


def test_the_example_of_okxs_documentation_multiplies() -> None:
    usdt = Amount(NGN, 3_000)  # 30, of an asset of two digits

    fields(a="2932.40104429").expect_price("a", btc("0.01023052"), usdt)


@pytest.mark.parametrize("price", ["0", "0.0", "-1", "1e5", "NaN", "1" * 31, 5, None])
def test_what_is_no_price_is_unreadable(price: Any) -> None:
    with pytest.raises(BadAnswer):
        fields(a=price).expect_price("a", btc("1"), ngn("1"))


@pytest.mark.parametrize(
    ("error", "said"), [(BadAnswer("LP_ODD", "an odd state"), "an odd state"), (KeyError(), "Key")]
)
def test_whatever_goes_wrong_once_our_order_is_named_says_that_the_venue_has_it(
    error: Exception, said: str
) -> None:
    with pytest.raises(BadAnswer, match=said) as bad, of_taken_order():
        raise error

    assert bad.value.reason == ORDER_WORKING


def test_one_of_several_is_enough_to_repeat_what_was_asked() -> None:
    expect_any([fields(id="theirs"), fields(id="ours")], id="ours")

    for found in ([], [fields(id="theirs"), fields(other="ours")]):
        with pytest.raises(BadAnswer) as bad:
            expect_any(found, id="ours")
        assert bad.value.reason == "LP_WRONG_ECHO"


def test_evidence_hides_a_secret_even_where_it_is_cut_short() -> None:
    body = ("x" * (MAX_EVIDENCE - 20) + "the-secret" + "y" * 900).encode()

    evidence = Answer(500, body, secrets=("the-secret",)).evidence

    assert "the-s" not in evidence
    assert len(evidence) <= MAX_EVIDENCE
