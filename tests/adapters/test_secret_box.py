"""A sealed secret is of use to its owner alone, and to whoever has one of the keys."""

import pytest

from adapters.system.secret_box import AesSecretBox
from domain.errors import DomainError
from domain.ids import WebhookEndpointId
from domain.tenant.request_signing import SharedSecretsNotConfigured
from domain.webhook.errors import WebhooksNotConfigured
from ports.secrets import SecretUnreadable
from tests.support.builders import an_id

OLD = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
NEW = "Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OWNER = an_id(WebhookEndpointId)


def a_box(keys: list[str]) -> AesSecretBox:
    return AesSecretBox(keys, WebhooksNotConfigured)


def test_what_was_sealed_is_opened_and_never_looks_the_same() -> None:
    box = a_box([OLD])
    first, second = (box.seal(SECRET, owner=OWNER) for _ in range(2))

    assert first != second
    assert SECRET.encode() not in first
    assert [box.open(one, owner=OWNER) for one in (first, second)] == [SECRET, SECRET]


def test_a_new_key_seals_while_the_old_one_still_opens() -> None:
    sealed = a_box([OLD]).seal(SECRET, owner=OWNER)
    both = a_box([NEW, OLD])

    assert both.open(sealed, owner=OWNER) == SECRET
    again = both.seal(SECRET, owner=OWNER)
    assert a_box([NEW]).open(again, owner=OWNER) == SECRET
    with pytest.raises(SecretUnreadable):
        a_box([NEW]).open(sealed, owner=OWNER)


def test_a_secret_that_was_moved_or_changed_cannot_be_opened() -> None:
    box = a_box([OLD])
    sealed = box.seal(SECRET, owner=OWNER)

    with pytest.raises(SecretUnreadable):
        box.open(sealed, owner=an_id(WebhookEndpointId))
    for changed in (sealed[:-1], sealed[:-1] + bytes([sealed[-1] ^ 1]), b"", sealed[4:]):
        with pytest.raises(SecretUnreadable):
            box.open(changed, owner=OWNER)


@pytest.mark.parametrize("refusal", [WebhooksNotConfigured, SharedSecretsNotConfigured])
def test_without_a_key_nothing_is_sealed(refusal: type[DomainError]) -> None:
    with pytest.raises(refusal):
        AesSecretBox([], refusal).seal(SECRET, owner=OWNER)
