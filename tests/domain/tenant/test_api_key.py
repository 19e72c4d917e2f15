"""API keys: their end, their successors, and the addresses that they may be used from."""

from dataclasses import replace
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest

from domain.errors import InvalidArgument
from domain.ids import ApiKeyId, TenantId
from domain.tenant.api_key import MAX_OVERLAP, ApiKey, Scope, hint_of
from domain.tenant.errors import ApiKeyNotLive
from domain.tenant.ip_range import is_in_any, read_ip_address, read_ip_ranges
from tests.support.builders import NOW, an_id, seconds

each = pytest.mark.parametrize

AT_ONCE = seconds(0)
KEY = ApiKey(
    id=an_id(ApiKeyId),
    tenant_id=an_id(TenantId),
    name="backend",
    hint="reli_abcde",
    scopes=(Scope.READ, Scope.TRADES),
    created_at=NOW,
    allowed_ip_ranges=(ip_network("203.0.113.0/24"),),
    last_used_at=NOW,
)


def test_a_key_is_revoked_once_and_for_the_first_time() -> None:
    revoked = KEY.revoke(now=NOW + seconds(1))

    assert KEY.revoked_at is None
    assert revoked.revoked_at == NOW + seconds(1)
    assert revoked.revoke(now=NOW + seconds(2)) == revoked


def test_a_successor_may_do_what_the_key_may_and_from_where_it_may() -> None:
    successor_id = an_id(ApiKeyId)

    ending, successor = _rotate(KEY, successor_id, overlap=seconds(60))

    assert ending == replace(KEY, expires_at=NOW + seconds(60))
    assert successor == replace(
        KEY,
        id=successor_id,
        hint="reli_fghij",
        created_at=NOW,
        expires_at=None,
        last_used_at=None,
        rotated_from_id=KEY.id,
    )


@each("overlap", [AT_ONCE, seconds(60), MAX_OVERLAP])
def test_no_overlap_lets_a_key_live_longer_than_it_would_have(overlap: timedelta) -> None:
    key = replace(KEY, expires_at=NOW + seconds(60))

    ending, _ = _rotate(key, overlap=overlap)

    assert ending.expires_at == NOW + min(overlap, seconds(60))


def test_a_key_that_was_revoked_or_has_expired_has_no_successor() -> None:
    for key in (KEY.revoke(now=NOW), replace(KEY, expires_at=NOW)):
        with pytest.raises(ApiKeyNotLive):
            _rotate(key)


def test_a_successor_that_would_never_live_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        KEY.rotate(an_id(ApiKeyId), hint="", overlap=AT_ONCE, expires_at=NOW, now=NOW)


def test_a_hint_is_too_little_of_a_secret_to_be_one() -> None:
    assert hint_of("reli_" + "x" * 43) == "reli_xxxxx"


@each(
    "text",
    [
        *("", "all", "1", "203.0.113.1/24", "203.0.113.0/33", "203.0.113.0/-1", "203.0.113/24"),
        *("203.0.113.0/255.255.255.0 ", "0x7f.0.0.1", "fe80::1%eth0", "2001:db8::1/32", "::g"),
        *("::ffff:203.0.113.0/120", "::ffff:0:0/96", "::/16", "1" * 1_000),
    ],
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read_ip_ranges([text], field="allowed_ip_ranges")

    assert caught.value.metadata["field"] == "allowed_ip_ranges"


def test_ranges_are_kept_in_one_form() -> None:
    texts = ["2001:DB8::/32", "10.0.0.128/25", "10.0.0.0/25", "10.0.0.7", "192.0.2.1"]

    ranges = read_ip_ranges(texts, field="")

    assert [str(one) for one in ranges] == ["10.0.0.0/24", "192.0.2.1/32", "2001:db8::/32"]


def test_a_key_has_at_most_32_ranges() -> None:
    texts = [f"10.{number}.0.0/17" for number in range(33)]

    assert len(read_ip_ranges(texts[:32], field="")) == 32
    with pytest.raises(InvalidArgument):
        read_ip_ranges(texts, field="")


@each(
    ("text", "is_in"),
    [
        ("203.0.113.0", True),
        ("203.0.113.255", True),
        ("203.0.114.0", False),
        ("::ffff:203.0.113.9", True),
        ("2001:db8::1", True),
        ("2001:db9::", False),
        ("::203.0.113.9", False),
    ],
)
def test_an_address_is_in_a_range_or_not(text: str, is_in: bool) -> None:
    ranges = read_ip_ranges(["203.0.113.0/24", "2001:db8::/32"], field="")
    address = read_ip_address(text)

    assert address is not None
    assert is_in_any(address, ranges) == is_in


def test_an_address_of_the_other_family_is_never_in_a_range() -> None:
    assert not is_in_any(IPv6Address("::1"), read_ip_ranges(["0.0.0.0/0"], field=""))
    assert not is_in_any(IPv4Address("127.0.0.1"), read_ip_ranges(["::/0"], field=""))


@each("text", ["", "unix", "203.0.113.0/24", "203.0.113.1:443", "localhost"])
def test_what_is_no_address_is_none(text: str) -> None:
    assert read_ip_address(text) is None


def _rotate(
    key: ApiKey, successor_id: ApiKeyId | None = None, *, overlap: timedelta = AT_ONCE
) -> tuple[ApiKey, ApiKey]:
    return key.rotate(
        successor_id or an_id(ApiKeyId),
        hint="reli_fghij",
        overlap=overlap,
        expires_at=None,
        now=NOW,
    )
