"""What a bank says is compared with the book; every difference is a break until it is explained."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from reli.event.v1 import event_pb2
from reli.reconciliation.v1 import break_pb2, statement_pb2
from reli.reconciliation.v1 import reconciliation_service_pb2 as pb
from tests.support.audit import assert_books_balance, rows_of, uuid_of
from tests.support.bank import RAIL, Bank, a_bank
from tests.support.platform import Platform, new_request_id, refusal_of
from tests.support.statements import Booked, camt_statement, csv_statement, finnish_example

RESOLVED = break_pb2.BREAK_STATE_RESOLVED
OPEN = break_pb2.BREAK_STATE_OPEN
CAMT = statement_pb2.STATEMENT_FORMAT_CAMT053


@pytest.fixture
async def bank(platform: Platform) -> AsyncIterator[Bank]:
    made = await a_bank(platform)
    yield made
    await assert_lines_add_up(made)


async def assert_lines_add_up(bank: Bank) -> None:
    """Assert that breaks and waiting lines are all that the two sides differ by."""
    row = await bank.platform.owner.fetchrow(
        """
        SELECT coalesce(sum(CASE side WHEN 'statement' THEN units ELSE -units END), 0) AS all_lines,
            coalesce(sum(CASE side WHEN 'statement' THEN units ELSE -units END)
                FILTER (WHERE match_id IS NOT NULL), 0) AS matched
        FROM core.reconciliation_lines WHERE tenant_id = $1
        """,
        uuid_of(bank.tenant_id),
    )
    assert row["matched"] == 0
    waiting = await bank.platform.owner.fetchval(
        "SELECT coalesce(sum(CASE side WHEN 'statement' THEN units ELSE -units END), 0) "
        "FROM core.reconciliation_lines "
        "WHERE tenant_id = $1 AND match_id IS NULL AND break_id IS NULL",
        uuid_of(bank.tenant_id),
    )
    unexplained = sum(
        int(one.amount.value.replace(".", ""))
        for one in await bank.breaks()
        if one.state != RESOLVED and one.HasField("source")
    )
    assert row["all_lines"] == unexplained + waiting


async def refused(bank: Bank, content: bytes) -> str:
    before = await rows_of(bank.platform.owner, bank.tenant_id)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await bank.bring(content)
    assert await rows_of(bank.platform.owner, bank.tenant_id) == before
    return refusal_of(caught.value).reason


async def test_what_both_have_matches_and_the_rest_on_either_side_is_a_break(bank: Bank) -> None:
    await bank.book("100.00", "FT-1")
    await bank.book("25.50")
    await bank.book("-7.00", "some words about a fee 1")

    told = await bank.tell(
        ("FT-1", "100.00"), ("FT-2", "25.50"), ("FT-3", "900.00"), opening="0.00", closing="1025.50"
    )

    assert (told.lines, told.known_lines, told.matched_lines) == (3, 0, 4)
    assert (told.waiting_lines, told.breaks_raised) == (0, 2)
    ours, theirs = sorted(await bank.breaks(), key=lambda one: one.kind, reverse=True)
    assert (theirs.kind, theirs.amount.value) == ("MISSING_IN_BOOKS", "900.00")
    assert (ours.kind, ours.amount.value) == ("MISSING_IN_STATEMENT", "7.00")
    assert "FT-3" in theirs.detail
    for one in (ours, theirs):
        assert (one.state, one.owner, one.trade_id) == (OPEN, "operations", "")
        assert (one.source.kind, one.source.name) == (statement_pb2.SOURCE_KIND_RAIL, RAIL)
        assert one.age.ToTimedelta() < timedelta(minutes=1)


async def test_a_break_is_told_of_by_an_event_when_it_is_raised_and_when_it_is_explained(
    bank: Bank,
) -> None:
    await bank.tell(("FT-1", "100.00"))
    await bank.book("100.00", "FT-1")
    await bank.tell(shift=timedelta(days=1))

    events = [
        event_pb2.Event.FromString(row["payload"])
        for row in await bank.platform.owner.fetch(
            "SELECT payload FROM core.outbox WHERE tenant_id = $1 AND type LIKE 'break.%' "
            "ORDER BY id",
            uuid_of(bank.tenant_id),
        )
    ]
    told = [(event.type, event.reconciliation_break.kind) for event in events]
    assert sorted(told) == [
        ("break.raised", "MISSING_IN_BOOKS"),
        ("break.resolved", "MISSING_IN_BOOKS"),
    ]


async def test_the_same_file_twice_changes_nothing(bank: Bank) -> None:
    await bank.book("100.00", "FT-1")
    first = await bank.tell(("FT-1", "100.00"), ("FT-2", "5.00"))
    before = await rows_of(bank.platform.owner, bank.tenant_id)

    again = await bank.tell(("FT-1", "100.00"), ("FT-2", "5.00"))

    assert again.is_repeat
    assert (again.id, again.lines, again.breaks_raised) == (first.id, 2, 1)
    assert await rows_of(bank.platform.owner, bank.tenant_id) == before


async def test_a_line_that_was_told_before_is_known_by_its_reference(bank: Bank) -> None:
    await bank.tell(("FT-1", "100.00"), ("FT-2", "5.00"))

    again = await bank.tell(("FT-1", "100.00"), ("FT-2", "5.00"), ("FT-3", "1.00"))

    assert (again.lines, again.known_lines, again.breaks_raised) == (1, 2, 1)
    assert len(await bank.breaks()) == 3


async def test_a_source_that_takes_back_or_changes_what_it_told_is_a_break(bank: Bank) -> None:
    await bank.book("100.00", "FT-1")
    await bank.book("5.00", "FT-2")
    await bank.tell(("FT-1", "100.00"), ("FT-2", "5.00"))
    assert await bank.breaks() == []

    await bank.tell(("FT-1", "99.00"))

    assert sorted((one.kind, one.amount.value) for one in await bank.breaks()) == [
        ("STATEMENT_CHANGED", "-1.00"),
        ("STATEMENT_CHANGED", "-5.00"),
    ]


async def test_a_statement_that_does_not_go_on_where_the_last_one_ended_is_a_break(
    bank: Bank,
) -> None:
    await bank.book("10.00", "FT-1")
    await bank.tell(("FT-1", "10.00"), opening="0.00", closing="10.00")

    await bank.tell(opening="12.00", closing="12.00", shift=timedelta(days=1))

    (found,) = await bank.breaks()
    assert (found.kind, found.amount.value) == ("BALANCE_DIFFERS", "2.00")


async def test_what_the_book_had_before_the_first_statement_is_its_opening(bank: Bank) -> None:
    await bank.book("70.00", effective_at=bank.starts_at - timedelta(days=3))
    await bank.book("5.00", "FT-1")

    told = await bank.tell(("FT-1", "5.00"), opening="70.00", closing="75.00")

    assert (told.lines, told.breaks_raised) == (1, 0)


async def test_one_payment_of_the_bank_may_be_several_entries_of_the_book(bank: Bank) -> None:
    await bank.book("60.00")
    await bank.book("40.00")

    told = await bank.tell(("FT-1", "100.00"))

    assert (told.matched_lines, told.breaks_raised) == (3, 0)


async def test_another_amount_under_one_reference_is_one_break_of_the_difference(
    bank: Bank,
) -> None:
    await bank.book("100.00", "E2E-1")

    await bank.tell(("FT-1", "99.50"), orders=["E2E-1"])

    (found,) = await bank.breaks()
    assert (found.kind, found.amount.value) == ("AMOUNT_DIFFERS", "-0.50")


async def test_an_entry_that_comes_later_explains_a_break(bank: Bank) -> None:
    await bank.tell(("FT-1", "100.00"))
    (found,) = await bank.open_breaks()
    await bank.book("100.00", "FT-1")

    told = await bank.tell(shift=timedelta(days=1))

    assert (told.matched_lines, told.breaks_resolved) == (2, 1)
    (resolved,) = await bank.breaks()
    assert (resolved.id, resolved.state) == (found.id, RESOLVED)
    assert resolved.resolution.kind == break_pb2.BREAK_RESOLUTION_KIND_MATCH
    assert resolved.resolution.proposed_by == ""


async def test_a_bank_file_of_iso_20022_is_taken_in(bank: Bank) -> None:
    today = datetime.now(UTC).date()
    await bank.book("150.00", "E2E-77")
    content = camt_statement(
        today,
        today,
        "0.00",
        [Booked("B1", "150.00", today, end_to_end="E2E-77"), Booked("B2", "-3.25", today)],
        "146.75",
    )

    told = await bank.bring(content, CAMT)

    assert (told.lines, told.matched_lines, told.breaks_raised) == (2, 2, 1)
    (found,) = await bank.breaks()
    assert (found.kind, found.amount.value) == ("MISSING_IN_BOOKS", "-3.25")


async def test_a_published_example_of_a_bank_file_is_taken_in_once(bank: Bank) -> None:
    content = finnish_example().replace(b"CHF", b"NGN")

    first = await bank.bring(content, CAMT)
    again = await bank.bring(content, CAMT)

    assert first.matched_lines == 0
    assert (again.id, again.is_repeat) == (first.id, True)
    found = {one.amount.value for one in await bank.breaks() if one.kind == "MISSING_IN_BOOKS"}
    assert {"-1000.12", "-4230.05", "10000.00", "5455.00"} < found


async def test_a_bad_file_is_refused_and_nothing_of_it_is_kept(bank: Bank) -> None:
    good = csv_statement(
        bank.starts_at,
        bank.ends_at,
        [(f"FT-{n}", "", bank.noon, "NGN", "1.00") for n in range(3)],
        opening="0.00",
        closing="3.00",
    )
    assert await refused(bank, good[:-40]) == "STATEMENT_MALFORMED"
    assert await refused(bank, good.replace(b"FT-1", b"FT-2")) == "STATEMENT_REFERENCE_DUPLICATE"
    assert await refused(bank, good.replace(b"3.00", b"4.00")) == "STATEMENT_UNBALANCED"
    assert await refused(bank, good.replace(b"NGN", b"XXX")) == "STATEMENT_ASSET_MISMATCH"
    assert await refused(bank, good.decode().encode("utf-16")) == "STATEMENT_ENCODING_INVALID"
    assert await refused(bank, b" " * (3 * 1024 * 1024 + 1)) == "STATEMENT_TOO_LARGE"
    assert (await bank.bring(good)).lines == 3


async def test_breaks_of_opposite_amounts_explain_each_other_and_no_others_do(bank: Bank) -> None:
    long_ago = timedelta(days=-12)
    await bank.book("100.00", effective_at=bank.noon + long_ago)
    await bank.tell(shift=long_ago)
    (ours,) = await bank.open_breaks()
    await bank.tell(("FT-1", "100.00"), ("FT-2", "100.01"))
    _, *theirs = await bank.open_breaks()
    (opposite,) = [one for one in theirs if one.amount.value == "100.00"]
    (other,) = [one for one in theirs if one.amount.value == "100.01"]

    for wrong in (other, ours):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await bank.resolve(ours, linked_break_id=wrong.id)
        assert refusal_of(caught.value).reason == "BREAK_LINK_MISMATCH"
    resolved = await bank.resolve(ours, linked_break_id=opposite.id)

    assert resolved.resolution.linked_break_id == opposite.id
    assert [one.id for one in await bank.open_breaks()] == [other.id]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await bank.resolve(opposite, linked_break_id=ours.id)
    assert refusal_of(caught.value).reason == "BREAK_RESOLVED"


async def test_a_break_is_linked_to_the_entry_that_explains_it(bank: Bank) -> None:
    await bank.tell(("FT-1", "100.00"))
    (found,) = await bank.open_breaks()
    wrong, right = await bank.book("99.00"), await bank.book("100.00")

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await bank.resolve(found, linked_entry_id=wrong)
    assert refusal_of(caught.value).reason == "BREAK_LINK_MISMATCH"
    resolved = await bank.resolve(found, linked_entry_id=right)

    assert resolved.state == RESOLVED
    assert resolved.resolution.kind == break_pb2.BREAK_RESOLUTION_KIND_LINK
    assert resolved.resolution.entry_id == right
    later = await bank.tell(shift=timedelta(days=1))
    # Only the wrong entry is new to the next statement, and it is a break of its own.
    assert (later.matched_lines, later.breaks_raised) == (0, 1)


async def test_an_adjustment_needs_a_second_key_and_then_the_book_has_what_the_bank_has(
    bank: Bank,
) -> None:
    await bank.tell(("FT-1", "-100.00"), opening="0.00", closing="-100.00")
    (found,) = await bank.open_breaks()
    before = await rows_of(bank.platform.owner, bank.tenant_id)

    proposed = await bank.resolve(found, counter_account_id=bank.treasury)

    assert proposed.state == break_pb2.BREAK_STATE_PROPOSED
    after = await rows_of(bank.platform.owner, bank.tenant_id)
    assert {table for table in after if after[table] != before[table]} == {
        "audit_records",
        "break_resolutions",
        "requests",
    }
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await bank.approve(proposed, by=bank.operator)
    assert refusal_of(caught.value).reason == "BREAK_SECOND_KEY_REQUIRED"
    approved = await bank.approve(proposed, request_id="approved once")
    assert approved.state == RESOLVED
    assert approved.resolution.approved_by != approved.resolution.proposed_by
    assert await bank.approve(proposed, request_id="approved once") == approved
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await bank.approve(proposed)
    assert refusal_of(caught.value).reason == "BREAK_RESOLVED"
    balances = await bank.platform.owner.fetch(
        "SELECT kind, credits_posted - debits_posted AS units FROM core.accounts "
        "WHERE tenant_id = $1 AND asset = 'NGN'",
        uuid_of(bank.tenant_id),
    )
    assert {row["kind"]: int(row["units"]) for row in balances} == {
        "external": 10_000,
        "treasury": -10_000,
    }
    await assert_books_balance(bank.platform.owner, bank.tenant_id)
    later = await bank.tell(opening="-100.00", closing="-100.00", shift=timedelta(days=1))
    assert (later.lines, later.breaks_raised) == (0, 0)


async def test_an_adjustment_that_the_ledger_refuses_leaves_the_proposal_as_it_is(
    bank: Bank,
) -> None:
    await bank.tell(("FT-1", "-2000000.00"))
    (found,) = await bank.open_breaks()
    proposed = await bank.resolve(found, counter_account_id=bank.treasury)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await bank.approve(proposed)

    assert refusal_of(caught.value).reason == "INSUFFICIENT_FUNDS"
    (still,) = await bank.breaks()
    assert still.state == break_pb2.BREAK_STATE_PROPOSED


async def test_a_proposal_waits_for_as_long_as_it_takes_to_be_approved(bank: Bank) -> None:
    await bank.tell(("FT-1", "-2000000.00"))
    (found,) = await bank.open_breaks()
    proposed = await bank.resolve(found, counter_account_id=bank.treasury)
    assert proposed.resolution.entry_id == ""
    with pytest.raises(grpc.aio.AioRpcError):
        await bank.approve(proposed)
    client = await bank.platform.a_client(bank.tenant_id)

    await client.deposit("", "2000000.00", "NGN")
    approved = await bank.approve(proposed)

    assert approved.state == RESOLVED
    assert approved.resolution.entry_id.startswith("entry_")


async def test_a_break_of_a_trade_is_linked_to_an_entry_and_never_adjusted(bank: Bank) -> None:
    client = await bank.platform.a_client(bank.tenant_id)
    customer_id = await bank.platform.a_funded_customer(client)
    await client.accept((await client.quote(customer_id, "0.00007791")).id)
    (found,) = await bank.breaks()
    assert (found.kind, found.HasField("source")) == ("FILL_BEYOND_TOLERANCE", False)
    entry_id = await bank.book("1.00")

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await bank.resolve(found, counter_account_id=bank.treasury)
    assert refusal_of(caught.value).reason == "BREAK_NOT_ADJUSTABLE"
    resolved = await bank.resolve(found, linked_entry_id=entry_id)

    assert (resolved.state, resolved.resolution.entry_id) == (RESOLVED, entry_id)


async def test_a_break_has_an_owner_and_a_note(bank: Bank) -> None:
    await bank.tell(("FT-1", "1.00"))
    (found,) = await bank.breaks()

    assigned = await bank.operator.reconciliation_admin.AssignBreak(
        pb.AssignBreakRequest(
            tenant_id=bank.tenant_id, break_id=found.id, owner="ada", note="asked the bank"
        )
    )

    (listed,) = await bank.breaks()
    for one in (assigned.reconciliation_break, listed):
        assert (one.owner, one.note) == ("ada", "asked the bank")


async def test_a_break_of_another_tenant_is_not_there(bank: Bank, platform: Platform) -> None:
    await bank.tell(("FT-1", "1.00"))
    (found,) = await bank.breaks()
    other = await a_bank(platform)

    for call in (
        other.resolve(found, counter_account_id=other.treasury),
        other.resolve(found, linked_break_id=found.id),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert refusal_of(caught.value).reason == "BREAK_NOT_FOUND"
    assert await other.breaks() == []


async def test_only_an_operator_takes_statements_in(bank: Bank, platform: Platform) -> None:
    client = await platform.a_client(bank.tenant_id)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.reconciliation_admin.ImportStatement(bank.request(b"x"))

    assert refusal_of(caught.value).reason == "OPERATOR_ONLY"


async def test_a_request_is_resolved_once_whatever_comes_again(bank: Bank) -> None:
    await bank.tell(("FT-1", "1.00"))
    (found,) = await bank.breaks()
    request = pb.ResolveBreakRequest(
        tenant_id=bank.tenant_id,
        break_id=found.id,
        counter_account_id=bank.treasury,
        note="twice",
        request_id=new_request_id(),
    )

    first = await bank.operator.reconciliation_admin.ResolveBreak(request)
    again = await bank.operator.reconciliation_admin.ResolveBreak(request)

    assert again.reconciliation_break.resolution == first.reconciliation_break.resolution
