"""Digests as venues show them in their documentation, and a clock that follows a venue's."""

from datetime import UTC, datetime, timedelta

import pytest

from adapters.lp.http import Answer
from adapters.lp.signing import (
    MAX_OFFSET,
    VenueTime,
    base64_text,
    hmac_sha256,
    hmac_sha512,
    iso_text,
    milliseconds_text,
)
from app.certify.clock import BenchClock


def test_the_example_of_binances_documentation_is_signed_as_it_says() -> None:
    secret = b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
    message = (
        b"symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1"
        b"&recvWindow=5000&timestamp=1499827319559"
    )

    assert hmac_sha256(secret, message).hex() == (
        "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    )


def test_the_example_of_valrs_documentation_is_signed_as_it_says() -> None:
    secret = b"4961b74efac86b25cce8fbe4c9811c4c7a787b7a5996660afcc2e287ad864363"

    assert hmac_sha512(secret, b"1558014486185GET/v1/account/balances").hex() == (
        "9d52c181ed69460b49307b7891f04658e938b21181173844b5018b2fe783a6d4"
        "c62b8e67a03de4d099e7437ebfabe12c56233b73c6a0cc0f7ae87e05f6289928"
    )


def test_times_are_written_as_venues_read_them() -> None:
    at = datetime(2020, 12, 8, 9, 8, 57, 715_999, tzinfo=UTC)

    assert iso_text(at) == "2020-12-08T09:08:57.715Z"
    assert milliseconds_text(at) == "1607418537715"
    assert base64_text(b"\x00\xff") == "AP8="


@pytest.mark.parametrize(
    ("off", "is_followed"),
    [
        (timedelta(), True),
        (timedelta(seconds=-90), True),
        (MAX_OFFSET, True),
        (-MAX_OFFSET, True),
        (MAX_OFFSET + timedelta(seconds=1), False),
        (timedelta(days=-4_000), False),
    ],
)
def test_a_venues_clock_is_followed_as_far_as_it_makes_sense(
    off: timedelta, is_followed: bool
) -> None:
    clock = BenchClock()
    time = VenueTime(clock)

    time.hear(Answer(401, b"", clock.now() + off))

    assert time.now() == clock.now() + (off if is_followed else timedelta())


def test_an_answer_without_a_date_leaves_the_clock_as_it_was() -> None:
    clock = BenchClock()
    time = VenueTime(clock)
    time.hear(Answer(200, b"", clock.now() + timedelta(seconds=7)))

    time.hear(Answer(200, b""))

    assert time.now() == clock.now() + timedelta(seconds=7)
