"""A bank's statement as ISO 20022 camt.053 (BankToCustomerStatement), any of its versions.

Read are the booked entries of the one statement of a file, with the balances OPBD (or PRCD) and
CLBD. Dates are the bank's own days; each is noted as midnight UTC. Amounts are positive where the
bank credits us (ISO 20022 message definition report, Bank-to-Customer Cash Management).

A bank need not give an entry a reference. Such an entry is known by the digest of all it says, and
by its place among those that say the same, so that the same entry is the same line in any file.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from typing import Final

from lxml import etree

from adapters.statement_in.fields import SHOWN, read_amount, read_asset
from domain.amount import Amount
from domain.asset import Asset
from domain.reconciliation.errors import (
    StatementAssetMismatch,
    StatementEntityForbidden,
    StatementMalformed,
    StatementTimeOutOfRange,
)
from domain.reconciliation.statement import (
    MAX_REFERENCES,
    MAX_STATEMENT_LINES,
    LineKind,
    ParsedStatement,
    StatementBalance,
    StatementLine,
    too_many_lines,
)

NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:camt.053.001."
NOT_PROVIDED: Final = "NOTPROVIDED"
"""What stands for a reference that nobody gave (EPC rulebooks); it is shared by many."""

DIGEST_DIGITS: Final = 32

_SIGN: Final = {"CRDT": 1, "DBIT": -1}
_REFERENCES: Final = ("EndToEndId", "InstrId", "TxId", "AcctSvcrRef", "PmtInfId", "MsgId")
_DAY: Final = timedelta(days=1)


def parse_camt053(text: str, assets: Mapping[str, Asset]) -> ParsedStatement:
    """Read the file, or raise what `StatementReader.read` raises."""
    # Without a document type there are no entities, neither such as expand nor such as fetch.
    if "<!DOCTYPE" in text:
        raise StatementEntityForbidden(
            "the file declares a document type; none is needed", place="the head"
        )
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as error:
        place = f"line {error.lineno}"
        raise StatementMalformed(f"{place}: {error.msg}", place=place) from error
    return _Document(root, assets).statement()


class _Document:
    def __init__(self, root: etree._Element, assets: Mapping[str, Asset]) -> None:
        name = etree.QName(root)
        if name.localname != "Document" or not (name.namespace or "").startswith(NAMESPACE):
            raise StatementMalformed("the file is no camt.053 document", place="the head")
        self._in = f"{{{name.namespace}}}"
        self._assets = assets
        self._alike: Counter[str] = Counter()
        statements = root.findall(self._path("BkToCstmrStmt/Stmt"))
        if len(statements) != 1:
            raise StatementMalformed(
                f"the file has {len(statements)} statements, not one", place="BkToCstmrStmt"
            )
        self._statement = statements[0]
        if self._text(self._statement, "StmtPgntn/LastPgInd") == "false":
            raise StatementMalformed("the file is one page of several", place="StmtPgntn")

    def statement(self) -> ParsedStatement:
        asset = self._asset()
        balances = {
            self._text(balance, "Tp/CdOrPrtry/Cd"): self._balance(balance, asset)
            for balance in self._statement.findall(self._path("Bal"))
        }
        opening, closing = balances.get("OPBD") or balances.get("PRCD"), balances.get("CLBD")
        starts, ends = self._period(balances)
        entries = self._statement.findall(self._path("Ntry"))
        if len(entries) > MAX_STATEMENT_LINES:
            raise too_many_lines()
        return ParsedStatement(
            source_name="",
            starts_at=_midnight(starts),
            ends_at=_midnight(ends),
            balances={
                asset.code: StatementBalance(
                    opening[0] if opening else None, closing[0] if closing else None
                )
            },
            lines=tuple(
                self._line(entry, number, asset)
                for number, entry in enumerate(entries, start=1)
                if self._is_booked(entry)
            ),
        )

    def _asset(self) -> Asset:
        code = self._text(self._statement, "Acct/Ccy")
        if not code:
            amount = self._statement.find(self._path("Bal/Amt"))
            code = "" if amount is None else amount.get("Ccy", "")
        return read_asset(code, self._assets, place="Acct/Ccy")

    def _period(self, balances: Mapping[str, tuple[Amount, date]]) -> tuple[date, date]:
        """Return the first day, and the day after the last."""
        first = self._text(self._statement, "FrToDt/FrDtTm")
        last = self._text(self._statement, "FrToDt/ToDtTm")
        if first and last:
            end = _instant(last, "FrToDt")
            is_midnight = end.time() == time()
            return _instant(first, "FrToDt").date(), _shifted(end.date(), 0 if is_midnight else 1)
        if "CLBD" not in balances or not {"OPBD", "PRCD"} & set(balances):
            raise StatementMalformed(
                "the file has neither a period nor an opening and a closing balance",
                place="FrToDt",
            )
        starts = balances["OPBD"][1] if "OPBD" in balances else _shifted(balances["PRCD"][1], 1)
        return starts, _shifted(balances["CLBD"][1], 1)

    def _balance(self, balance: etree._Element, asset: Asset) -> tuple[Amount, date]:
        place = f"Bal (line {balance.sourceline})"
        return self._amount(balance, asset, place), self._date(balance, "Dt", place)

    def _is_booked(self, entry: etree._Element) -> bool:
        status = self._text(entry, "Sts/Cd") or self._text(entry, "Sts")
        return status == "BOOK"

    def _line(self, entry: etree._Element, number: int, asset: Asset) -> StatementLine:
        place = f"Ntry {number} (line {entry.sourceline})"
        own = self._text(entry, "AcctSvcrRef") or self._text(entry, "NtryRef")
        own = own or self._digest(entry)
        dated = "BookgDt" if entry.find(self._path("BookgDt")) is not None else "ValDt"
        others = dict.fromkeys(self._references(entry))
        others.pop(own, None)
        return StatementLine(
            place,
            own,
            tuple(others)[: MAX_REFERENCES - 1],
            _midnight(self._date(entry, dated, place)),
            self._amount(entry, asset, place),
            LineKind.PAYMENT,
        )

    def _digest(self, entry: etree._Element) -> str:
        text = " ".join(
            f"{etree.QName(one).localname}{sorted(one.items())}{(one.text or '').strip()}"
            for one in entry.iter()
        )
        digest = sha256(text.encode()).hexdigest()[:DIGEST_DIGITS]
        self._alike[digest] += 1
        return f"{digest}-{self._alike[digest]}"

    def _references(self, entry: etree._Element) -> Iterator[str]:
        for name in ("NtryRef", "AcctSvcrRef"):
            yield from filter(None, [self._text(entry, name)])
        for details in entry.findall(self._path("NtryDtls/TxDtls/Refs")):
            for name in _REFERENCES:
                reference = self._text(details, name)
                if reference and reference != NOT_PROVIDED:
                    yield reference

    def _amount(self, of: etree._Element, asset: Asset, place: str) -> Amount:
        amount = of.find(self._path("Amt"))
        sign = _SIGN.get(self._text(of, "CdtDbtInd"))
        if amount is None or sign is None:
            raise StatementMalformed(f"{place}: Amt or CdtDbtInd is missing", place=place)
        currency = amount.get("Ccy", "")
        if currency != asset.code:
            raise StatementAssetMismatch(
                f"{place} is in {currency[:SHOWN]!r}, the account in {asset}",
                place=place,
                asset=currency[:SHOWN],
            )
        units = read_amount((amount.text or "").strip(), asset, place=place)
        if units.units < 0:
            raise StatementMalformed(f"{place}: an amount has no sign of its own", place=place)
        return units if sign > 0 else -units

    def _date(self, of: etree._Element, name: str, place: str) -> date:
        day = self._text(of, f"{name}/Dt")
        if day:
            try:
                return date.fromisoformat(day)
            except ValueError:
                raise StatementMalformed(
                    f"{place}: {day[:SHOWN]!r} is no date such as 2026-03-02", place=place
                ) from None
        return _instant(self._text(of, f"{name}/DtTm"), place).date()

    def _path(self, names: str) -> str:
        return "/".join(self._in + name for name in names.split("/"))

    def _text(self, of: etree._Element, names: str) -> str:
        found = of.find(self._path(names))
        return "" if found is None else (found.text or "").strip()


def _instant(text: str, place: str) -> datetime:
    """Return the instant as the bank's clock shows it."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise StatementMalformed(
            f"{place}: {text[:SHOWN]!r} is no time such as 2026-03-02T09:30:00Z", place=place
        ) from None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


def _shifted(day: date, days: int) -> date:
    try:
        return day + days * _DAY
    except OverflowError as error:
        raise StatementTimeOutOfRange(
            f"{day} is the end of the calendar", place="the period"
        ) from error
