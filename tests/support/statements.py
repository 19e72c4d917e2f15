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


_FINNISH_ENTRIES = (
    ("-1000.12", "01", "2017-07-29", "<Btch><MsgId>MSGSALA0001</MsgId></Btch>", ((),)),
    ("-4000.00", "02", "2017-07-29", "<Btch><MsgId>MSGSCT0099</MsgId></Btch>", ()),
    (
        *("-4230.05", "03", "2017-07-29", "<Btch><MsgId>MSGSCT0100</MsgId></Btch>"),
        tuple(
            (("AcctSvcrRef", f"091029ARCH0300{n}"), ("InstrId", f"TITOT1106ID0{n}"))
            for n in (1, 2, 3)
        ),
    ),
    ("2000.00", "04", "2017-07-29", "<Btch><MsgId>BANKFILEID998765</MsgId></Btch>", ((),)),
    ("500.00", "21", "2017-07-29", "<Btch><MsgId>BANKFILEID998799</MsgId></Btch>", ((),)),
    ("3000.00", "05", "2017-07-29", "<Btch><MsgId>BANKFILEID998765</MsgId></Btch>", ((),)),
    (
        *("2120.00", "06", "2017-07-30", ""),
        ((("InstrId", "ISSRBKREF12345678"), ("TxId", "ISSRBKREF12345678")),),
    ),
    (
        *("5455.00", "07", "2017-07-29", ""),
        ((("InstrId", "BKREFDBT0101010"), ("TxId", "BKREFDBT0101010")),),
    ),
    ("10000.00", "08", "2017-07-29", "", ((("EndToEndId", "EndToEndIdSCT01"),),)),
    ("-200.00", "09", "2017-07-29", "", ((("AcctSvcrRef", "091029ARCH09001"),),) * 2),
)


def finnish_example() -> bytes:
    """Return the entries, references and balances of a published example.

    It is FI_camt_053_sample.xml, which the Federation of Finnish Financial Services published with
    its guideline of 2009; parties and remittances, which nobody reads, are left out.
    """
    day = date(2017, 7, 29)
    entries = []
    for amount, number, value_date, batch, details in _FINNISH_ENTRIES:
        refs = "".join(
            f"""<TxDtls><!-- Sub transaction -->{
                f"<Refs>{''.join(f'<{name}>{text}</{name}>' for name, text in of)}</Refs>"
                if of
                else ""
            }<AmtDtls><TxAmt><Amt Ccy="CHF">1.00</Amt></TxAmt></AmtDtls></TxDtls>"""
            for of in details
        )
        entries.append(f"""
      <Ntry>
        <!-- Transaction {number} -->
        <Amt Ccy="CHF">{amount.removeprefix("-")}</Amt>
        <CdtDbtInd>{"DBIT" if amount.startswith("-") else "CRDT"}</CdtDbtInd>
        <Sts>BOOK</Sts>
        <BookgDt>
          <!-- Booking date for all sub transactions in this entry -->
          <Dt>{day}</Dt>
        </BookgDt>
        <ValDt><Dt>{value_date}</Dt></ValDt>
        <AcctSvcrRef>091029ACCTSTMTARCH{number}</AcctSvcrRef>
        <BkTxCd><Prtry><Cd>NTRF+701TransactionCodeText</Cd></Prtry></BkTxCd>
        <NtryDtls>{batch}{refs}</NtryDtls>
      </Ntry>""")
    balances = "".join(
        camt_balance(code, amount, at, "CHF").replace(
            "<Amt", '<CdtLine><Incl>false</Incl><Amt Ccy="CHF">10000.00</Amt></CdtLine><Amt', 1
        )
        for code, amount, at in (
            ("OPBD", "10000.00", day),
            ("PRCD", "10000.00", day - timedelta(days=1)),
            ("CLBD", "23644.83", day),
            ("CLAV", "33644.83", day),
        )
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<!--Sample XML file to demonstrate Finnish statement of account-->
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="urn:iso:std:iso:20022:tech:xsd:camt.053.001.01 camt.053.001.02.xsd">
  <BkToCstmrStmt>
    <GrpHdr>
      <MsgId>BANKFILEID00001</MsgId>
      <CreDtTm>2017-07-30T03:30:47+02:00</CreDtTm>
    </GrpHdr>
    <Stmt>
      <Id>BANKSTMTID0972009</Id>
      <ElctrncSeqNb>120</ElctrncSeqNb>
      <LglSeqNb>97</LglSeqNb>
      <CreDtTm>2017-07-30T02:00:00+02:00</CreDtTm>
      <FrToDt>
        <FrDtTm>2017-07-29T02:00:00+02:00</FrDtTm>
        <ToDtTm>2017-07-29T21:00:00+02:00</ToDtTm>
      </FrToDt>
      <Acct>
        <Id><IBAN>FI7433010001222090</IBAN></Id>
        <Tp><Cd>CACC</Cd></Tp>
        <Ccy>CHF</Ccy>
      </Acct>
      <RltdAcct><Id><IBAN>FI1533010001911270</IBAN></Id><Ccy>CHF</Ccy></RltdAcct>{balances}
      <TxsSummry><TtlNtries><NbOfNtries>10</NbOfNtries></TtlNtries></TxsSummry>{"".join(entries)}
    </Stmt>
  </BkToCstmrStmt>
</Document>
""".encode()
