"""Deliveries go to the public internet, however somebody writes the address of something else."""

import pytest

from domain.webhook.destination import Destinations
from domain.webhook.errors import WebhookUrlForbidden

LIVE = Destinations()
SANDBOX = Destinations(is_sandbox=True)
LOCAL = Destinations(is_sandbox=True, allows_loopback=True)

BYPASSES = [
    # This machine, as its address and its many spellings.
    "https://127.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://127.255.255.254/",
    "https://0/",
    "https://0.0.0.0/",
    "https://2130706433/",
    "https://017700000001/",
    "https://0177.0.0.1/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0x7F.1/",
    "https://127.0.0.1./",
    "https://127.000.000.001/",
    "https://[::1]/",
    "https://[::]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::127.0.0.1]/",
    "https://[64:ff9b:1::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2001:0:7f00:1::]/",
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://anything.localhost/",
    # Networks of one's own, and what clouds tell their machines.
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/",
    "https://[fec0::1]/",
    "https://metadata.google.internal/",
    "https://printer.local/",
    "https://intranet/",
    # Nobody, everybody, and what is only for documents and tests.
    "https://224.0.0.1/",
    "https://[ff02::1]/",
    "https://255.255.255.255/",
    "https://240.0.0.1/",
    "https://192.0.2.1/",
    "https://198.18.0.1/",
    "https://[2001:db8::1]/",
    # Another host than it seems.
    "https://example.com@127.0.0.1/",
    "https://example.com:443@127.0.0.1/",
    "https://127.0.0.1#@example.com/",
    "https://127.0.0.1\\@example.com/",
    "https://example.com\\.127.0.0.1/",
    "https://127.0.0.1%00.example.com/",
    "https://127.0.0.1%2f.example.com/",
    "https://①②⑦.⓪.⓪.①/",
    "https://127。0。0。1/",
    "https://ⓛocalhost/",
    "https://exam\tple.com/",
    "https://example.com\r\nHost: 127.0.0.1/",
    " https://127.0.0.1/",
    # Another protocol, port or file than a webhook's.
    "HTTPS://example.com/",
    "https:/example.com/",
    "https:example.com",
    "//example.com/",
    "file:///etc/passwd",
    "gopher://example.com:443/",
    "unix:///run/postgresql/.s.PGSQL.5432",
    "http+unix://%2Frun%2Fdocker.sock/",
    "https://example.com:22/",
    "https://example.com:5432/",
    "https://example.com:0/",
    "https://example.com:65536/",
    "https://example.com:/",
    "https://example.com:+443/",
    "https://",
    "",
    "https://" + "a" * 64 + ".com/",
    "https://" + "a." * 130 + "com/",
    "https://example.com/" + "x" * 2_048,
    "https://-example.com/",
    "https://example..com/",
]


@pytest.mark.parametrize("url", BYPASSES, ids=ascii)
@pytest.mark.parametrize("where", [LIVE, SANDBOX], ids=["live", "sandbox"])
def test_a_url_of_anything_else_is_refused(where: Destinations, url: str) -> None:
    with pytest.raises(WebhookUrlForbidden) as caught:
        where.require_url(url)

    assert caught.value.metadata["field"] == "url"
    assert caught.value.metadata["rule"]


def test_who_has_no_certificate_yet_may_try_without_one_in_a_sandbox() -> None:
    assert SANDBOX.require_url("http://example.com/") == "http://example.com/"
    with pytest.raises(WebhookUrlForbidden):
        LIVE.require_url("http://example.com/")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com/webhooks?from=reli&x=%20",
        "https://EXAMPLE.com:8443/",
        "https://xn--bcher-kva.example/",
        "https://my_host.example.com/",
        "https://93.184.215.14/",
        "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/",
    ],
)
def test_a_url_of_the_public_internet_is_taken_as_it_is(url: str) -> None:
    assert LIVE.require_url(url) == url


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9000/", "http://localhost:9000/", "http://[::1]:9000/"]
)
def test_this_machine_is_reached_where_that_is_said_and_in_a_sandbox_only(url: str) -> None:
    assert LOCAL.require_url(url) == url
    for elsewhere in (LIVE, SANDBOX):
        with pytest.raises(WebhookUrlForbidden):
            elsewhere.require_url(url)
    with pytest.raises(AssertionError):
        Destinations(is_sandbox=False, allows_loopback=True)


def test_what_is_reached_here_opens_no_other_network() -> None:
    assert LOCAL.allows("127.0.0.1")
    assert not LOCAL.allows("10.0.0.1")
    assert not LOCAL.allows("169.254.169.254")
    assert not LOCAL.allows("::ffff:127.0.0.1")


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "100.127.255.255", "169.254.169.254", "192.168.0.1", "0.0.0.0"),
        *("::1", "::", "::ffff:8.8.8.8", "fe80::1", "fd12::1", "ff0e::1", "64:ff9b::808:808"),
        *("2002:808:808::1", "2001::1", "fe80::1%eth0", "2606:4700::1%1", "", "example.com"),
        "/run/postgresql/.s.PGSQL.5432",
    ],
)
def test_nobody_connects_to_an_address_that_is_not_public(address: str) -> None:
    assert not LIVE.allows(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.215.14", "2606:4700::1111"])
def test_public_addresses_are_connected_to(address: str) -> None:
    assert LIVE.allows(address)
