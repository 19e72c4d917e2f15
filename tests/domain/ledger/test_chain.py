"""The chain: one text for each entry, one hash for each text, one text for each checkpoint."""

import json
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.canonical import canonical_json, instant_text
from domain.ids import AccountId, EntryId, TenantId, TransferId
from domain.ledger.chain import (
    NOTHING,
    ChainHead,
    Checkpoint,
    canonical_entry,
    chain_hashes,
    leaf_hash,
)
from domain.ledger.entry import Entry, EntrySource
from domain.ledger.transfer import Transfer, TransferKind
from tests.support.builders import NOW, an_id, ngn


def an_entry(**changes: Any) -> Entry:
    fields: dict[str, Any] = {
        "id": an_id(EntryId, number=1),
        "transfers": (
            Transfer(
                id=an_id(TransferId, number=2),
                debit_account_id=an_id(AccountId, number=3),
                credit_account_id=an_id(AccountId, number=4),
                amount=ngn("12.50"),
                kind=TransferKind.PENDING,
                expires_at=NOW + timedelta(days=1),
                purpose="hold",
            ),
        ),
        "source": EntrySource.OPERATOR,
        "reference": "apikey_01h455vb4pex5vsknk084sn02q",
        "description": 'Said "é",\ttwice\n\x01\x7f\u2028',
    }
    return Entry(**fields | changes)


def test_the_text_of_an_entry_is_written_so() -> None:
    assert canonical_entry(an_entry(), recorded_at=NOW).decode() == (
        '{"description":"Said \\"é\\",\\ttwice\\n\\u0001\x7f\u2028"'
        ',"effective_at":"2026-03-02T09:30:00.000000Z"'
        ',"id":"019cade2-11c0-7000-8000-000000000001"'
        ',"recorded_at":"2026-03-02T09:30:00.000000Z"'
        ',"reference":"apikey_01h455vb4pex5vsknk084sn02q"'
        ',"reverses":null,"source":"operator","transfers":[{"asset":"NGN"'
        ',"credit_account_id":"019cade2-11c0-7000-8000-000000000004"'
        ',"debit_account_id":"019cade2-11c0-7000-8000-000000000003"'
        ',"expires_at":"2026-03-03T09:30:00.000000Z"'
        ',"id":"019cade2-11c0-7000-8000-000000000002","kind":"pending","ordinal":1'
        ',"pending_id":null,"purpose":"hold","units":"1250"}]}'
    )


@pytest.mark.parametrize(
    "change",
    [
        {"id": an_id(EntryId, number=9)},
        {"source": EntrySource.DEPOSIT},
        {"reference": "another"},
        {"description": ""},
        {"effective_at": NOW + timedelta(microseconds=1)},
        {"reverses": an_id(EntryId, number=9)},
        {"transfers": ()},
        {"transfers": an_entry().transfers * 2},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_changes_in_an_entry_changes_its_leaf(change: dict[str, Any]) -> None:
    before = leaf_hash(canonical_entry(an_entry(), recorded_at=NOW))

    assert leaf_hash(canonical_entry(an_entry(**change), recorded_at=NOW)) != before


def test_an_instant_is_written_in_utc_with_six_digits() -> None:
    nairobi = timezone(timedelta(hours=3))

    assert instant_text(datetime(2026, 3, 2, 12, 30, 0, 50, nairobi)) == (
        "2026-03-02T09:30:00.000050Z"
    )


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists))
def test_canonical_json_is_json(value: object) -> None:
    try:
        text = canonical_json(value)
    except UnicodeEncodeError:
        return  # a lone surrogate, which no database of ours can hold
    assert json.loads(text) == value


@given(st.binary(min_size=32, max_size=32), st.lists(st.binary(min_size=32, max_size=32)))
def test_a_link_is_the_hash_of_the_one_before_and_of_its_leaf(
    before: bytes, leaves: list[bytes]
) -> None:
    expected = []
    last = before
    for leaf in leaves:
        last = sha256(b"\x02" + last + leaf).digest()
        expected.append(last)

    assert chain_hashes(before, leaves) == expected
    head, _ = ChainHead(hash=before).extended(leaves)
    assert head.hash == last
    assert head.entries == len(leaves)


def test_a_checkpoint_is_signed_as_this_text() -> None:
    checkpoint = Checkpoint(
        tenant_id=an_id(TenantId, number=7),
        number=3,
        entries=1_000,
        chain_hash=b"\x0a" * 32,
        root=b"\x0b" * 32,
        previous=NOTHING,
        made_at=NOW,
        key_id="a-key",
    )

    assert checkpoint.signed_text().decode() == (
        f'{{"chain_hash":"{"0a" * 32}","entries":1000,"key_id":"a-key"'
        ',"made_at":"2026-03-02T09:30:00.000000Z","number":3'
        f',"previous":"{"00" * 32}","root":"{"0b" * 32}"'
        ',"tenant_id":"019cade2-11c0-7000-8000-000000000007","type":"reli.checkpoint.v1"}'
    )
    assert checkpoint.digest() == sha256(checkpoint.signed_text()).digest()
