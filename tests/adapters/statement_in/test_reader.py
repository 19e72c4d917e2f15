"""Statements are read as they are written; what is wrong with one is named, and where."""

from datetime import UTC, date, datetime, timedelta

import pytest

from adapters.statement_in.reader import FileReader
from domain.asset import Asset
from domain.errors import DomainError
from domain.reconciliation.errors import (
    StatementAssetMismatch,
    StatementEncodingInvalid,
    StatementEntityForbidden,
    StatementMalformed,
    StatementReferenceDuplicate,
    StatementTimeOutOfRange,
    StatementTooLarge,
    StatementUnbalanced,
)
from domain.reconciliation.statement import (
    MAX_STATEMENT_BYTES,
    MAX_STATEMENT_LINES,
    LineKind,
    ParsedStatement,
    Source,
    SourceKind,
    StatementFormat,
)
from tests.support.builders import BTC, NGN
from tests.support.statements import (
    HEADER,
    Booked,
    a_trade,
    camt_statement,
    csv_statement,
    finnish_example,
    json_statement,
    time_text,
)

ASSETS = {"BTC": BTC, "NGN": NGN}
STARTS = datetime(2026, 3, 2, tzinfo=UTC)
ENDS = STARTS + timedelta(days=1)
NOON = STARTS + timedelta(hours=12)
DAY = date(2026, 3, 2)

CSV, JSON, CAMT = StatementFormat.CSV, StatementFormat.JSON, StatementFormat.CAMT053
GOOD = {
    CSV: csv_statement(STARTS, ENDS, [("ref-1", "", NOON, "NGN", "5.00")]),
    JSON: json_statement("alpha", STARTS, ENDS, [a_trade("alpha-1", "attempt-1", NOON)]),
    CAMT: camt_statement(DAY, DAY, "10.00", [Booked("B1", "-2.50", DAY)], "7.50"),
}


def read(format: StatementFormat, content: bytes) -> ParsedStatement:
    parsed = FileReader().read(format, content, ASSETS)
    parsed.check(Source(SourceKind.LP, "alpha"), now=ENDS)
    return parsed


def test_a_trade_of_an_lp_is_a_line_in_each_of_its_assets_signed_as_we_have_it() -> None:
    parsed = read(
        JSON,
        json_statement(
            "alpha",
            STARTS,
            ENDS,
            [a_trade("alpha-1", "attempt-1", NOON), a_trade("alpha-2", "x", NOON, side="sell")],
        ),
    )

    assert [(line.reference, str(line.amount), line.others) for line in parsed.lines] == [
        ("alpha-1", "0.01000000 BTC", ("attempt-1",)),
        ("alpha-1", "-1503000.00 NGN", ("attempt-1",)),
        ("alpha-2", "-0.01000000 BTC", ("x",)),
        ("alpha-2", "1503000.00 NGN", ("x",)),
    ]
    assert {line.kind for line in parsed.lines} == {LineKind.TRADE}


def test_a_csv_tells_period_balances_and_lines() -> None:
    lines = [("ref-1", "order-1", NOON, "NGN", "5.00"), ("ref-2", "", NOON, "NGN", "-1.00")]
    parsed = read(CSV, csv_statement(STARTS, ENDS, lines, opening="0.00", closing="4.00"))

    assert (parsed.starts_at, parsed.ends_at) == (STARTS, ENDS)
    assert [str(amount) for amount in parsed.balances["NGN"]] == ["0.00 NGN", "4.00 NGN"]
    assert [line.others for line in parsed.lines] == [("order-1",), ()]
    assert parsed.lines[0].place == "line 3"


def test_a_bank_statement_tells_booked_entries_by_the_banks_own_days() -> None:
    entries = [
        Booked("B1", "100.00", DAY, end_to_end="E2E-1"),
        Booked("B2", "-30.25", DAY),
        Booked("B3", "999.00", DAY, status="<Sts><Cd>PDNG</Cd></Sts>"),
    ]
    parsed = read(CAMT, camt_statement(DAY, DAY, "10.00", entries, "79.75"))

    assert (parsed.starts_at, parsed.ends_at) == (STARTS, ENDS)
    assert [(one.reference, one.others, str(one.amount)) for one in parsed.lines] == [
        ("B1", ("E2E-1",), "100.00 NGN"),
        ("B2", (), "-30.25 NGN"),
    ]
    assert parsed.lines[0].value_at == STARTS


def test_older_versions_of_a_bank_statement_write_its_state_without_a_code() -> None:
    entry = Booked("B1", "-2.50", DAY, status="<Sts>BOOK</Sts>")

    parsed = read(CAMT, camt_statement(DAY, DAY, "10.00", [entry], "7.50", version="02"))

    assert len(parsed.lines) == 1


def test_entries_without_a_reference_are_known_by_what_they_say() -> None:
    alike = Booked("", "-2.50", DAY)
    other = Booked("", "-2.50", DAY, end_to_end="E2E-1")
    statement = camt_statement(DAY, DAY, "10.00", [alike, other, alike], "2.50")
    shorter = camt_statement(DAY, DAY, "10.00", [other, alike], "5.00", version="02")

    first, named, second = (line.reference for line in read(CAMT, statement).lines)
    again = [line.reference for line in read(CAMT, shorter).lines]

    assert len({first, named, second}) == 3
    assert again == [named, first]


def test_the_example_of_the_finnish_banks_is_read() -> None:
    parsed = FileReader().read(CAMT, finnish_example(), {"CHF": Asset("CHF", 2)})
    parsed.check(Source(SourceKind.RAIL, "bank"), now=ENDS)

    assert len(parsed.lines) == 10
    assert str(sum(line.amount.units for line in parsed.lines)) == "1364483"
    balances = parsed.balances["CHF"]
    assert (str(balances.opening), str(balances.closing)) == ("10000.00 CHF", "23644.83 CHF")
    assert parsed.lines[0].others == ()
    assert parsed.lines[2].others == tuple(
        name for n in (1, 2, 3) for name in (f"TITOT1106ID0{n}", f"091029ARCH0300{n}")
    )
    assert parsed.lines[6].others == ("ISSRBKREF12345678",)
    assert {line.value_at.date() for line in parsed.lines} == {date(2017, 7, 29)}


@pytest.mark.parametrize("format", GOOD)
def test_a_statement_may_begin_with_a_byte_order_mark(format: StatementFormat) -> None:
    assert read(format, b"\xef\xbb\xbf" + GOOD[format]) == read(format, GOOD[format])


@pytest.mark.parametrize("format", GOOD)
def test_a_statement_that_is_cut_off_anywhere_is_never_read(format: StatementFormat) -> None:
    content = GOOD[format].rstrip()
    for length in range(len(content)):
        if format is CSV and content[:length].count(b",") == content.count(b","):
            continue  # what is left out is optional: the closing amount
        with pytest.raises(DomainError):
            read(format, content[:length])


LAUGHS = '<!DOCTYPE Document [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
SECRET = '<!DOCTYPE Document [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


def csv_of(*rows: str) -> bytes:
    ends = f"closing,,,{time_text(ENDS)},NGN,"
    return "\n".join([HEADER, f"opening,,,{time_text(STARTS)},NGN,", *rows, ends]).encode()


def csv_line(**fields: str) -> str:
    good = {
        "kind": "payment",
        "reference": "ref-1",
        "order": "",
        "time": time_text(NOON),
        "asset": "NGN",
        "amount": "5.00",
    }
    return ",".join((good | fields).values())


def camt(*entries: Booked, closing: str = "10.00", **more: str) -> bytes:
    return camt_statement(DAY, DAY, "10.00", entries, closing, **more)


def lp(*trades: dict[str, str]) -> bytes:
    return json_statement("alpha", STARTS, ENDS, trades)


TRADE = a_trade("alpha-1", "attempt-1", NOON)

BAD = [
    (CSV, b"", StatementMalformed, "line 1"),
    (CSV, b"kind;reference\n", StatementMalformed, "line 1"),
    (CSV, csv_of("payment,ref-1"), StatementMalformed, "line 3"),
    (CSV, csv_of('payment,"ref-1'), StatementMalformed, "line 4"),
    (CSV, csv_of(csv_line(kind="gift")), StatementMalformed, "line 3"),
    (CSV, csv_of(csv_line(amount="5,00")), StatementMalformed, "line 3"),
    (CSV, csv_of(csv_line(amount="1e3")), StatementMalformed, "line 3"),
    (CSV, csv_of(csv_line(amount="5.001")), StatementMalformed, "line 3"),
    (CSV, csv_of(csv_line(amount="0.00")), StatementMalformed, "line 3"),
    (CSV, csv_of(csv_line(reference="")), StatementMalformed, "line 3"),
    (CSV, csv_of(csv_line(reference="r" * 141)), StatementMalformed, "line 3"),
    (CSV, csv_of(csv_line(reference="a\x07b")), StatementMalformed, "line 3"),
    (CSV, csv_of(csv_line(time="2026-03-02")), StatementMalformed, "line 3"),
    (CSV, csv_of(csv_line(time="0001-01-01T00:00:00+14:00")), StatementTimeOutOfRange, "line 3"),
    (CSV, csv_of(csv_line(time=time_text(ENDS))), StatementTimeOutOfRange, "line 3"),
    (CSV, csv_of(csv_line(asset="XXX")), StatementAssetMismatch, "line 3"),
    (CSV, csv_of(csv_line(), csv_line()), StatementReferenceDuplicate, "line 4"),
    (CSV, csv_of(f"opening,,,{time_text(STARTS)},NGN,"), StatementMalformed, "line 3"),
    (CSV, csv_of(f"opening,,,{time_text(NOON)},BTC,"), StatementMalformed, "line 3"),
    (
        CSV,
        csv_of(csv_line(reference="é")).decode().encode("latin-1"),
        *(StatementEncodingInvalid, "line 3"),
    ),
    (CSV, GOOD[CSV].decode().encode("utf-16"), StatementEncodingInvalid, "line 1"),
    (CSV, csv_of(csv_line(reference="a\0b")), StatementEncodingInvalid, "line 1"),
    (
        CSV,
        csv_statement(
            STARTS, ENDS, [("r", "", NOON, "NGN", "5.00")], opening="1.00", closing="6.01"
        ),
        StatementUnbalanced,
        "the balances",
    ),
    (CSV, csv_statement(ENDS, STARTS), StatementTimeOutOfRange, "the period"),
    (
        CSV,
        csv_statement(datetime(1999, 1, 1, tzinfo=UTC), ENDS),
        StatementTimeOutOfRange,
        "the period",
    ),
    (CSV, csv_statement(STARTS, ENDS + timedelta(days=9)), StatementTimeOutOfRange, "the period"),
    (JSON, b"[]", StatementMalformed, "the head"),
    (JSON, b'{"source": "alpha",\n "trades"', StatementMalformed, "line 2"),
    (JSON, b"[" * 100_000, StatementMalformed, "the file"),
    (JSON, b'{"source": "alpha", "source": "beta"}', StatementMalformed, "source"),
    (JSON, json_statement("beta", STARTS, ENDS), StatementMalformed, "the head"),
    (JSON, lp({**TRADE, "side": "long"}), StatementMalformed, "trades[0]"),
    (JSON, lp({**TRADE, "base_amount": "-1"}), StatementMalformed, "trades[0]"),
    (JSON, lp({**TRADE, "quote_asset": "BTC"}), StatementAssetMismatch, "trades[0]"),
    (JSON, lp({**TRADE, "quote_asset": "EUR"}), StatementAssetMismatch, "trades[0]"),
    (JSON, lp({**TRADE, "quote_amount": 5}), StatementMalformed, "trades[0]"),  # type: ignore[dict-item]
    (JSON, lp(TRADE, TRADE), StatementReferenceDuplicate, "trades[1]"),
    (CAMT, b"<Document/>", StatementMalformed, "the head"),
    (CAMT, camt(head=LAUGHS), StatementEntityForbidden, "the head"),
    (CAMT, camt(head=SECRET), StatementEntityForbidden, "the head"),
    (
        CAMT,
        camt(head='<?xml version="1.0" encoding="ISO-8859-1"?>'),
        *(StatementEncodingInvalid, "line 1"),
    ),
    (CAMT, camt(Booked("B1", "1.00", DAY)), StatementUnbalanced, "the balances"),
    (CAMT, camt(Booked("B1", "1.00", DAY, currency="USD")), StatementAssetMismatch, "Ntry 1"),
    (CAMT, camt(Booked("B1", "1.005", DAY)), StatementMalformed, "Ntry 1"),
    (
        CAMT,
        camt(Booked("B1", "1.00", DAY), Booked("B1", "-1.00", DAY)),
        StatementReferenceDuplicate,
        "Ntry 2",
    ),
    (
        CAMT,
        camt(Booked("B1", "1.00", DAY + timedelta(days=1)), closing="11.00"),
        StatementTimeOutOfRange,
        "Ntry 1",
    ),
    (CAMT, camt().replace(b"<Ccy>NGN</Ccy>", b"<Ccy>XXX</Ccy>"), StatementAssetMismatch, "Acct"),
    (CAMT, camt().replace(b"2026-03-02</Dt>", b"tomorrow</Dt>"), StatementMalformed, "Bal"),
    (CAMT, camt().replace(b"</Stmt>", b"</Stmt><Stmt></Stmt>"), StatementMalformed, "BkToCstmr"),
]


@pytest.mark.parametrize(
    ("format", "content", "error", "place"), BAD, ids=lambda value: str(value)[:40]
)
def test_what_is_wrong_with_a_statement_is_named_and_where(
    format: StatementFormat, content: bytes, error: type[DomainError], place: str
) -> None:
    with pytest.raises(error) as caught:
        read(format, content)

    assert caught.value.metadata["place"].startswith(place)
    assert "root:" not in caught.value.message


def test_a_statement_beyond_its_bounds_is_refused() -> None:
    rows = [csv_line(reference=f"r{number}") for number in range(MAX_STATEMENT_LINES + 1)]

    for content in (b" " * (MAX_STATEMENT_BYTES + 1), csv_of(*rows)[:MAX_STATEMENT_BYTES]):
        with pytest.raises(DomainError):
            read(CSV, content)
    with pytest.raises(StatementTooLarge):
        read(
            JSON,
            b'{"source":"alpha","start_time":"%s","end_time":"%s","balances":[],"trades":[%s]}'
            % (
                time_text(STARTS).encode(),
                time_text(ENDS).encode(),
                b",".join([b"0"] * (MAX_STATEMENT_LINES // 2 + 1)),
            ),
        )
