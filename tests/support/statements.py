"""Statements as sources write them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

HEADER = "kind,reference,order_reference,value_time,asset,amount"


def time_text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def csv_statement(
    starts_at: datetime,
    ends_at: datetime,
    lines: Sequence[tuple[str, str, datetime, str, str]] = (),
    *,
    asset: str = "NGN",
    opening: str = "",
    closing: str = "",
) -> bytes:
    """Return a CSV of lines of `(reference, order, time, asset, amount)`."""
    rows = [
        HEADER,
        f"opening,,,{time_text(starts_at)},{asset},{opening}",
        *(
            f"payment,{reference},{order},{time_text(at)},{code},{amount}"
            for reference, order, at, code, amount in lines
        ),
        f"closing,,,{time_text(ends_at)},{asset},{closing}",
    ]
    return "\r\n".join(rows).encode() + b"\r\n"


def json_statement(
    source: str,
    starts_at: datetime,
    ends_at: datetime,
    trades: Sequence[dict[str, Any]] = (),
    balances: Sequence[dict[str, str]] = (),
    **more: str,
) -> bytes:
    return json.dumps(
        {
            "source": source,
            "start_time": time_text(starts_at),
            "end_time": time_text(ends_at),
            "balances": list(balances),
            "trades": list(trades),
            **more,
        }
    ).encode()


def a_trade(reference: str, order: str, at: datetime, **fields: str) -> dict[str, str]:
    """Return an execution: a customer bought 0.01 BTC for 1,503,000 naira, or what `fields` say."""
    return {
        "order_id": reference,
        "client_order_id": order,
        "side": "buy",
        "base_asset": "BTC",
        "quote_asset": "NGN",
        "base_amount": "0.01000000",
        "quote_amount": "1503000.00",
        "execute_time": time_text(at),
        **fields,
    }


@dataclass(frozen=True)
class Booked:
    """An entry of a bank's statement; the amount is signed as the bank has it for us."""

    reference: str
    amount: str
    day: date
    end_to_end: str = "NOTPROVIDED"
    status: str = "<Sts><Cd>BOOK</Cd></Sts>"
    currency: str = "NGN"

    @property
    def xml(self) -> str:
        return f"""
      <Ntry>
        <Amt Ccy="{self.currency}">{self.amount.removeprefix("-")}</Amt>
        <CdtDbtInd>{"DBIT" if self.amount.startswith("-") else "CRDT"}</CdtDbtInd>
        {self.status}
        <BookgDt><Dt>{self.day}</Dt></BookgDt>
        <ValDt><Dt>{self.day}</Dt></ValDt>
        <AcctSvcrRef>{self.reference}</AcctSvcrRef>
        <NtryDtls><TxDtls><Refs>
          <EndToEndId>{self.end_to_end}</EndToEndId>
        </Refs></TxDtls></NtryDtls>
      </Ntry>"""


def camt_balance(code: str, amount: str, day: date, currency: str = "NGN") -> str:
    return f"""
      <Bal>
        <Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>
        <Amt Ccy="{currency}">{amount.removeprefix("-")}</Amt>
        <CdtDbtInd>{"DBIT" if amount.startswith("-") else "CRDT"}</CdtDbtInd>
        <Dt><Dt>{day}</Dt></Dt>
      </Bal>"""


def camt_statement(
    first: date,
    last: date,
    opening: str,
    entries: Sequence[Booked],
    closing: str,
    *,
    version: str = "08",
    head: str = '<?xml version="1.0" encoding="UTF-8"?>',
) -> bytes:
    """Return a bank's statement in the form in which ISO 20022 publishes camt.053 examples."""
    return f"""{head}
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}">
  <BkToCstmrStmt>
    <GrpHdr>
      <MsgId>AAAASESS-FP-STAT001</MsgId>
      <CreDtTm>{last}T18:00:00+01:00</CreDtTm>
      <MsgPgntn><PgNb>1</PgNb><LastPgInd>true</LastPgInd></MsgPgntn>
    </GrpHdr>
    <Stmt>
      <Id>AAAASESS-FP-STAT001</Id>
      <CreDtTm>{last}T18:00:00+01:00</CreDtTm>
      <FrToDt>
        <FrDtTm>{first}T00:00:00+01:00</FrDtTm>
        <ToDtTm>{last + timedelta(days=1)}T00:00:00+01:00</ToDtTm>
      </FrToDt>
      <Acct>
        <Id><Othr><Id>50000000054910000003</Id></Othr></Id>
        <Ccy>NGN</Ccy>
      </Acct>{camt_balance("OPBD", opening, first)}{camt_balance("CLBD", closing, last)}{
        "".join(entry.xml for entry in entries)
    }
    </Stmt>
  </BkToCstmrStmt>
</Document>
""".encode()
