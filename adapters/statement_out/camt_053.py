"""A statement as ISO 20022 camt.053.001.08, BankToCustomerStatement."""

import re
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final
from xml.sax.saxutils import escape

from adapters.statement_out.csv_file import instant_text
from adapters.statement_out.file import StatementFile
from domain.ledger.errors import StatementNotExpressible
from domain.ledger.statement import Statement, StatementLine, Totals

NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"

# ActiveOrHistoricCurrencyCode and ActiveOrHistoricCurrencyAndAmount of the schema.
_CURRENCY: Final = re.compile(r"[A-Z]{3}", re.ASCII)
_FRACTION_DIGITS: Final = 5
_AMOUNT_BELOW: Final = 10**18

# XML 1.0, section 2.2: no other character may stand in a document, not even escaped.
_NO_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Camt053Statement(StatementFile):
    """One message with one statement: opening and closing booked balance, and booked entries.

    Nothing in it depends on when it was made: its time of creation is the statement's instant of
    record, and its id follows from what it is about.
    """

    def __init__(self, statement: Statement) -> None:
        asset = statement.account.asset
        if not _CURRENCY.fullmatch(asset.code) or asset.scale > _FRACTION_DIGITS:
            raise StatementNotExpressible(
                f"camt.053 has no way to say amounts of {asset}", asset=asset, scale=asset.scale
            )
        self._statement = statement

    def opening(self) -> str:
        statement = self._statement
        start, end = statement.period
        created = instant_text(statement.recorded_by)
        about = f"{statement.account_id} {instant_text(start)} {instant_text(end)} {created}"
        id = sha256(about.encode()).hexdigest()[:32]
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<Document xmlns="{NAMESPACE}">\n<BkToCstmrStmt>\n'
            f"<GrpHdr><MsgId>{id}</MsgId><CreDtTm>{created}</CreDtTm></GrpHdr>\n"
            f"<Stmt>\n<Id>{id}</Id><CreDtTm>{created}</CreDtTm>"
            f"<FrToDt><FrDtTm>{instant_text(start)}</FrDtTm>"
            f"<ToDtTm>{instant_text(end)}</ToDtTm></FrToDt>\n"
            f"<Acct><Id><Othr><Id>{statement.account_id}</Id></Othr></Id>"
            f"<Ccy>{statement.account.asset}</Ccy></Acct>\n"
            f"{self._balance('OPBD', statement.opening, start)}\n"
            f"{self._balance('CLBD', statement.closing, end)}\n"
        )

    def lines(self, lines: Sequence[StatementLine]) -> str:
        return "".join(map(self._entry, lines))

    def closing(self, totals: Totals) -> str:
        return "</Stmt>\n</BkToCstmrStmt>\n</Document>\n"

    def _balance(self, code: str, units: int, at: datetime) -> str:
        return (
            f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>{self._amount(units)}"
            f"<Dt><DtTm>{instant_text(at)}</DtTm></Dt></Bal>"
        )

    def _entry(self, line: StatementLine) -> str:
        booked, counts = instant_text(line.recorded_at), instant_text(line.effective_at)
        other = "Dbtr" if line.change > 0 else "Cdtr"
        words = _text(line.description)
        return (
            f"<Ntry><NtryRef>{line.transfer_id}</NtryRef>{self._amount(line.change)}"
            f"<Sts><Cd>BOOK</Cd></Sts><BookgDt><DtTm>{booked}</DtTm></BookgDt>"
            f"<ValDt><DtTm>{counts}</DtTm></ValDt><AcctSvcrRef>{line.entry_id}</AcctSvcrRef>"
            f"<BkTxCd><Prtry><Cd>{_text(line.purpose) or 'transfer'}</Cd></Prtry></BkTxCd>"
            f"<NtryDtls><TxDtls><Refs><TxId>{line.transfer_id}</TxId></Refs>"
            f"{self._amount(line.change)}"
            f"<RltdPties><{other}Acct><Id><Othr><Id>{line.counter_account_id}</Id></Othr></Id>"
            f"</{other}Acct></RltdPties></TxDtls></NtryDtls>"
            f"{f'<AddtlNtryInf>{words}</AddtlNtryInf>' if words else ''}</Ntry>\n"
        )

    def _amount(self, units: int) -> str:
        """Return a sum and its direction; nothing counts as a credit."""
        if abs(units) >= _AMOUNT_BELOW:
            raise StatementNotExpressible(
                "camt.053 has no way to say an amount of more than 18 digits",
                account_id=self._statement.account_id,
            )
        amount = self._statement.amount(abs(units))
        return (
            f'<Amt Ccy="{amount.asset}">{amount.value}</Amt>'
            f"<CdtDbtInd>{'DBIT' if units < 0 else 'CRDT'}</CdtDbtInd>"
        )


def _text(words: str) -> str:
    return escape(_NO_XML.sub("\ufffd", words))
