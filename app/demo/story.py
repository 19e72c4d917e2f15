"""What happens, and what has to be true of it; every chapter is plain data."""

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import count
from typing import Final

import aiohttp

from app.audit.run import audit
from app.demo.event_stream import events_of
from app.demo.expectation import Expectations, Unmet
from app.demo.money import minor, units
from app.demo.outside import changed_row, export_books, verify
from app.demo.partner import Answer, Json, Partner
from app.demo.venue import VenueDesk
from app.stack.stack import ReadyStack

FEE_BPS: Final = 20
MARKUP_BPS: Final = 50
CUSTOMER: Final = "amina"
DEPOSIT: Final = "2000000.00"
SIZE: Final = "0.01000000"
SIZE_REFUSED_BY_ALPHA: Final = "0.00097721"
SIZE_TOO_LARGE: Final = "1.00000000"
SIZE_OF_LOST_ANSWER: Final = "0.00100000"

_POLL_S: Final = 0.05
_RESOLVED_WITHIN_S: Final = 20.0
_CHECKPOINT_EVERY_S: Final = 2.5
_CHECKPOINT_POLLS: Final = 8


@dataclass(frozen=True, slots=True)
class Chapter:
    """One part of the story under its name in the JSON document."""

    name: str
    facts: Json


class Story:
    """Told once, on a stack of its own."""

    def __init__(self, ready: ReadyStack, session: aiohttp.ClientSession) -> None:
        self.expect = Expectations()
        self._ready = ready
        self._session = session
        self._operator = Partner(session, ready.rest_url, ready.operator_key)
        self._numbers = count(1)

    async def chapters(self) -> AsyncIterator[Chapter]:
        tenant, partner, joined = await self._join()
        yield Chapter("tenant", joined)
        customer, funded = await self._fund(partner)
        yield Chapter("customer", funded)
        quoted = await self._quote(partner, customer, SIZE)
        self._expect_fair(quoted)
        yield Chapter("quote", quoted)
        settled, once = await self._settle(tenant, partner, customer, quoted)
        yield Chapter("settlement", settled)
        failover = await self._fail_over(tenant, partner, customer)
        yield Chapter("failover", failover)
        yield Chapter("evidence", await self._explain(partner, failover["trade"]))
        unknown = await self._lose_answer(partner, customer)
        yield Chapter("unknown", unknown)
        yield Chapter("resolution", await self._resolve(tenant, partner, customer, unknown))
        yield Chapter(
            "refusals", await self._refuse(partner, customer, quoted, settled["trade"], once)
        )
        yield Chapter("events", await self._events(tenant))
        yield Chapter("books", await self._books(partner, customer))
        yield Chapter("audit", await self._audit())
        yield Chapter("proof", await self._prove(partner, settled["trade"]["settlement_entry_id"]))
        yield Chapter("receipt", await self._give_receipt(partner, settled["trade"]))

    async def _join(self) -> tuple[str, Partner, Json]:
        made = await self._operator.post(
            "/v1/tenants",
            {
                "slug": "savanna-pay",
                "display_name": "Savanna Pay",
                "branding": {"primary_color": "#0B6E4F", "logo": "savanna.svg"},
                "settings": {
                    "platform_fee_bps": FEE_BPS,
                    "markups": [{"instrument": "BTC-NGN", "bps": MARKUP_BPS}],
                },
            },
        )
        tenant = made["tenant"]
        made = await self._operator.post(f"/v1/tenants/{tenant['id']}/apiKeys", {"name": "backend"})
        secret, key = made["secret"], made["api_key"]
        self.expect.equal("a new tenant", expected="TENANT_STATE_ACTIVE", actual=tenant["state"])
        self.expect.true("the key's hint is all that is kept", that=secret.startswith(key["hint"]))
        masked = key["hint"] + "•" * 12
        partner = Partner(self._session, self._ready.rest_url, secret)
        return tenant["id"], partner, {"tenant": tenant, "api_key": key, "secret": masked}

    async def _fund(self, partner: Partner) -> tuple[str, Json]:
        customer = (await partner.post("/v1/customers", {"external_id": CUSTOMER}))["customer"]
        deposit = {"customer_id": customer["id"], "amount": {"value": DEPOSIT, "asset": "NGN"}}
        made = await partner.post("/v1/sandbox/deposits", deposit, once=self._new_key())
        balances = await self._balances(partner, customer["id"])
        self.expect.equal("her balance", expected={"NGN": DEPOSIT}, actual=balances)
        facts = {"customer": customer, "deposit": made["deposit"], "balances": balances}
        return customer["id"], facts

    async def _quote(self, partner: Partner, customer: str, size: str) -> Json:
        """Ask until every liquidity provider has answered in time, which one try should do."""
        wanted = {
            "customer_id": customer,
            "side": "SIDE_BUY",
            "base_asset": "BTC",
            "quote_asset": "NGN",
            "base_amount": {"value": size, "asset": "BTC"},
        }
        verdicts: dict[str, str] = {}
        for _ in range(5):
            quoted = await partner.post("/v1/quotes", wanted)
            verdicts = {answer["lp"]: answer["verdict"] for answer in quoted["lp_answers"]}
            if verdicts == {"alpha": "LP_VERDICT_USED", "beta": "LP_VERDICT_OUTBID"}:
                return quoted
        raise Unmet(f"both venues answer, alpha better: the answers were {verdicts}")

    def _expect_fair(self, quoted: Json) -> None:
        """Fee and markup follow the tenant's terms, and the parts add up to what she pays."""
        quote, answers = quoted["quote"], quoted["lp_answers"]
        parts = {name: units(part) for name, part in quote["waterfall"].items()}
        lp = parts["lp"]
        total = -(-lp * (10_000 + FEE_BPS + MARKUP_BPS) // 10_000)
        self.expect.equal("the best answer is priced", expected=units_of(answers)[0], actual=lp)
        self.expect.true("alpha is the best", that=lp == min(units_of(answers)))
        self.expect.equal("the fee", expected=lp * FEE_BPS // 10_000, actual=parts["fee"])
        self.expect.equal("the total", expected=total, actual=parts["total"])
        self.expect.equal("the parts add up", expected=total, actual=sum(parts.values()) - total)
        self.expect.equal("she pays it", expected=total, actual=units(quote["quote_amount"]))

    async def _settle(
        self, tenant: str, partner: Partner, customer: str, quoted: Json
    ) -> tuple[Json, str]:
        before, once = await self._balances(partner, customer), self._new_key()
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        trade = await self._accept(partner, quoted, once)
        took_ms = round((loop.time() - asked_at) * 1000)
        after = await self._balances(partner, customer)
        self.expect.equal("the trade", expected="TRADE_STATE_SETTLED", actual=trade["state"])
        for side in ("base_amount", "quote_amount"):
            self.expect.equal(f"its {side}", expected=quoted["quote"][side], actual=trade[side])
        paid = minor(before["NGN"]) - minor(after["NGN"])
        self.expect.equal("she paid", expected=units(trade["quote_amount"]), actual=paid)
        self.expect.equal("she received", expected=SIZE, actual=after["BTC"])
        lines = await self._lines(tenant, partner, trade)
        parts = {name: units(part) for name, part in trade["waterfall"].items()}
        credited = {(line["account"], line["asset"]): line["credit"] for line in lines}
        for account, part in (
            ("lp alpha", "lp"),
            ("platform fee", "fee"),
            ("tenant markup", "markup"),
            ("trade clearing", "total"),
        ):
            self.expect.equal(
                f"{account} was credited", expected=parts[part], actual=credited[account, "NGN"]
            )
        return {
            "trade": trade,
            "took_ms": took_ms,
            "lines": lines,
            "balances_before": before,
            "balances_after": after,
        }, once

    async def _fail_over(self, tenant: str, partner: Partner, customer: str) -> Json:
        quoted = await self._quote(partner, customer, SIZE_REFUSED_BY_ALPHA)
        trade = await self._accept(partner, quoted, self._new_key())
        attempts = [(one["lp"], one["state"]) for one in trade["attempts"]]
        self.expect.equal(
            "the attempts",
            expected=[("alpha", "ATTEMPT_STATE_REJECTED"), ("beta", "ATTEMPT_STATE_FILLED")],
            actual=attempts,
        )
        self.expect.equal("the trade", expected="TRADE_STATE_SETTLED", actual=trade["state"])
        self.expect.equal(
            "she still pays what was quoted",
            expected=quoted["quote"]["quote_amount"],
            actual=trade["quote_amount"],
        )
        filled = units(trade["attempts"][1]["filled_amount"])
        slippage = filled - units(trade["waterfall"]["lp"])
        lines = await self._lines(tenant, partner, trade)
        borne = [line["debit"] for line in lines if line["account"] == "slippage"]
        self.expect.equal("slippage is the operator's", expected=[slippage], actual=borne)
        return {"quote": quoted["quote"], "trade": trade, "slippage_units": slippage}

    async def _lose_answer(self, partner: Partner, customer: str) -> Json:
        """Have the venue execute without saying so, and look at what the partner sees meanwhile."""
        quoted = await self._quote(partner, customer, SIZE_OF_LOST_ANSWER)
        quote, before = quoted["quote"], await self._naira(partner, customer)
        venue = VenueDesk(self._session, self._ready.venue_books[quote["lp"]])
        await venue.lose_next_answer()
        accepted = await partner.post(_accept_path(quoted), {}, once=self._new_key())
        trade = (await partner.get(f"/v1/trades/{accepted['trade']['id']}"))["trade"]
        held = await self._naira(partner, customer)
        self.expect.equal(
            "nobody knows yet", expected="TRADE_STATE_OUTCOME_UNKNOWN", actual=trade["state"]
        )
        (attempt,) = trade["attempts"]
        self.expect.equal(
            "no backup is asked meanwhile",
            expected="ATTEMPT_STATE_UNKNOWN",
            actual=attempt["state"],
        )
        since, next_check, deadline = map(
            datetime.fromisoformat,
            (trade["unknown_since_time"], attempt["next_check_time"], trade["resolve_by_time"]),
        )
        self.expect.true("since when, next check, deadline", that=since < next_check < deadline)
        price = units(quote["quote_amount"])
        self.expect.equal("what she pays is held", expected=price, actual=units(held["held"]))
        self.expect.equal("nothing is paid", expected=before["posted"], actual=held["posted"])
        executions = await venue.executions_of(attempt["id"])
        self.expect.equal("the venue has executed", expected=1, actual=len(executions))
        return {"quote": quote, "trade": trade, "balance": held, "executions": executions}

    async def _resolve(self, tenant: str, partner: Partner, customer: str, unknown: Json) -> Json:
        """Watch the status checks until the venue admits to what it did."""
        quote, trade = unknown["quote"], unknown["trade"]
        checks = [trade["attempts"][0]["next_check_time"]]
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + _RESOLVED_WITHIN_S
        while trade["state"] == "TRADE_STATE_OUTCOME_UNKNOWN" and loop.time() < give_up_at:
            await asyncio.sleep(_POLL_S)
            trade = (await partner.get(f"/v1/trades/{trade['id']}"))["trade"]
            next_check = trade["attempts"][0].get("next_check_time")
            if next_check and next_check != checks[-1]:
                checks.append(next_check)
        self.expect.equal("it is settled", expected="TRADE_STATE_SETTLED", actual=trade["state"])
        for side in ("base_amount", "quote_amount"):
            self.expect.equal(f"at its {side}", expected=quote[side], actual=trade[side])
        balance = await self._naira(partner, customer)
        paid = units(unknown["balance"]["posted"]) - units(balance["posted"])
        self.expect.equal("she paid once", expected=units(quote["quote_amount"]), actual=paid)
        self.expect.equal("the hold is gone", expected=0, actual=units(balance["held"]))
        venue = VenueDesk(self._session, self._ready.venue_books[quote["lp"]])
        (attempt,) = trade["attempts"]
        executions = await venue.executions_of(attempt["id"])
        self.expect.equal("still one execution", expected=unknown["executions"], actual=executions)
        self.expect.equal(
            "which is ours", expected=attempt["venue_order_id"], actual=executions[0]["order_id"]
        )
        await self._lines(tenant, partner, trade)
        return {"trade": trade, "checks": checks, "balance": balance, "executions": executions}

    async def _refuse(
        self, partner: Partner, customer: str, quoted: Json, trade: Json, once: str
    ) -> Json:
        too_large = await self._quote(partner, customer, SIZE_TOO_LARGE)
        before = await self._balances(partner, customer)
        refusal = await partner.try_post(_accept_path(too_large), {}, once=self._new_key())
        again = await self._accept(partner, quoted, once)
        after = await self._balances(partner, customer)
        self.expect.equal("too little money", expected=400, actual=refusal.status)
        self.expect.equal("it says so", expected="INSUFFICIENT_FUNDS", actual=_reason(refusal))
        self.expect.equal("a replay is the same trade", expected=trade, actual=again)
        self.expect.equal("neither moved anything", expected=before, actual=after)
        return {
            "http_status": refusal.status,
            "refusal": refusal.body,
            "idempotency_key": once,
            "replayed_trade_id": again["id"],
            "balances": after,
        }

    async def _events(self, tenant: str) -> Json:
        expected = [
            *("tenant.created", "api_key.created", "customer.created", "deposit.created"),
            *("quote.created", "trade.accepted", "trade.settled") * 3,
            "trade.outcome_unknown",
            "quote.created",
        ]
        events = await events_of(self._ready.nats_url, tenant, at_least=len(expected))
        types = [event["type"] for event in events]
        # A quote that had to be asked for twice tells about itself twice.
        told = [type for type in types if type != "quote.created"]
        wanted = [type for type in expected if type != "quote.created"]
        self.expect.equal("the events", expected=sorted(wanted), actual=sorted(told))
        self.expect.true("a quote for each", that=types.count("quote.created") >= 4)
        ids = {event["id"] for event in events}
        self.expect.equal("events with an id of their own", expected=len(events), actual=len(ids))
        return {"stream": f"reli.events.{tenant}.>", "events": events}

    async def _books(self, partner: Partner, customer: str) -> Json:
        accounts = (await partner.get("/v1/ledger/accounts", page_size="200"))["accounts"]
        sums: dict[str, int] = {}
        for account in accounts:
            balance = account["balance"]
            sums[account["asset"]] = sums.get(account["asset"], 0) + units(balance["posted"])
            self.expect.equal("nothing is held", expected=0, actual=units(balance["held"]))
        self.expect.equal("every asset sums to zero", expected={"BTC": 0, "NGN": 0}, actual=sums)
        clearing = [units(a["balance"]["posted"]) for a in accounts if "CLEARING" in a["kind"]]
        self.expect.equal("clearing is empty", expected=[0], actual=clearing)
        balances = [
            {"account": account_name(account), "posted": account["balance"]["posted"]}
            for account in accounts
        ]
        return {"balances": balances, "sums": sums}

    async def _audit(self) -> Json:
        """Look at the tables of all tenants and at the venues' own books, past everything above."""
        report = await audit(self._ready.database_url, self._ready.venue_books)
        found: list[Json] = [
            {
                "id": finding.check.id,
                "statement": finding.check.statement,
                "rows": finding.looked_at,
                "breaks": finding.broken,
                "note": finding.note,
            }
            for finding in report.findings
        ]
        broken = [check["id"] for check in found if check["breaks"]]
        self.expect.equal("breaks found by the audit", expected=[], actual=broken)
        left_out = [check["id"] for check in found if check["note"]]
        self.expect.equal("checks it left out", expected=[], actual=left_out)
        return {
            "checks": found,
            "rows": sum(check["rows"] for check in found),
            "breaks": report.broken,
            "took_ms": round(report.seconds * 1000),
        }

    async def _prove(self, partner: Partner, entry: str) -> Json:
        """Give the books away, have them checked, and then change one byte and one row."""
        checkpoint = await self._signed(partner)
        jwks = await partner.get("/.well-known/jwks.json")
        books = await self._export(partner)
        whole = await verify(books, jwks, ["--entry", entry])
        self.expect.true("exported books hold", that=whole.holds)
        place = books.index(b'"units":"') + len(b'"units":"')
        other = b"1" if books[place : place + 1] != b"1" else b"2"
        changed = await verify(books[:place] + other + books[place + 1 :], jwks)
        self.expect.true("one changed byte is named", that="position 1 " in changed.text)
        async with changed_row(self._ready.database_url, entry) as row:
            forged = await verify(await self._export(partner), jwks)
        self.expect.true("and so is one changed row", that=row.entry_uuid in forged.text)
        again = await verify(await self._export(partner), jwks)
        self.expect.equal("as it was, it holds again", expected=True, actual=again.holds)
        verdicts = (
            ("as exported", whole),
            ("one byte of the file changed", changed),
            ("one row changed by the database's owner", forged),
        )
        return {
            "checkpoint": {"number": checkpoint["number"], "entries": checkpoint["entries"]},
            "key_id": checkpoint["key_id"],
            "bytes": len(books),
            "verdicts": [
                {"books": name, "holds": verdict.holds, "verifier": verdict.text}
                for name, verdict in verdicts
            ],
        }

    async def _explain(self, partner: Partner, trade: Json) -> Json:
        """Say of a trade what its price came from and what came of it."""
        evidence = (await partner.get(f"/v1/trades/{trade['id']}/evidence"))["evidence"]
        answers = {one["lp"]: one["verdict"] for one in evidence["answers"]}
        self.expect.equal(
            "what both answered", expected={"alpha": "used", "beta": "outbid"}, actual=answers
        )
        self.expect.equal("the median is of", expected=2, actual=evidence["median"]["prices"])
        backup = evidence["attempts"][-1]
        self.expect.true("the backup was asked again", that=backup["asked_again"])
        worse_by = -Decimal(backup["better_bps"])
        self.expect.true("within the tolerance", that=worse_by <= evidence["tolerance_bps"])
        return {"evidence": evidence}

    async def _give_receipt(self, partner: Partner, trade: Json) -> Json:
        """Have a receipt checked with the evidence that it names, and then change one byte."""
        jwks = await partner.get("/.well-known/jwks.json")
        path = f"/v1/trades/{trade['id']}"
        answer = await partner.get(f"{path}/receipt") | await partner.get(f"{path}/evidence")
        receipt = answer["receipt"]
        whole = await verify(_bytes(answer), jwks)
        self.expect.true("the receipt holds", that=whole.holds)
        content = bytearray(b64decode(receipt["content"]))
        content[content.index(b'"paid":') + len(b'"paid":{"asset":"NGN","value":"')] ^= 1
        more = receipt | {"content": b64encode(content).decode()}
        changed = await verify(_bytes({"receipt": more}), jwks)
        self.expect.true("one changed byte is seen", that="not over its text" in changed.text)
        verdicts = (("as answered, with its evidence", whole), ("one digit changed", changed))
        return {
            "receipt": receipt,
            "verdicts": [
                {"receipt": name, "holds": verdict.holds, "verifier": verdict.text}
                for name, verdict in verdicts
            ],
        }

    async def _signed(self, partner: Partner) -> Json:
        """Wait for a checkpoint after which nothing has been added."""
        latest: Json = {}
        for _ in range(_CHECKPOINT_POLLS):
            page = await partner.get("/v1/ledger/checkpoints", page_size="1")
            newest: Json = next(iter(page["checkpoints"]), {})
            if newest and newest == latest:
                return newest
            latest = newest
            await asyncio.sleep(_CHECKPOINT_EVERY_S)
        raise Unmet(f"a checkpoint over all entries: the newest was {latest}")

    async def _export(self, partner: Partner) -> bytes:
        return await export_books(self._ready.grpc_target, partner.key)

    async def _accept(self, partner: Partner, quoted: Json, once: str) -> Json:
        """Accept, and wait for the end should it take longer than the answer."""
        trade: Json = (await partner.post(_accept_path(quoted), {}, once=once))["trade"]
        for _ in range(100):
            if trade["state"] not in ("TRADE_STATE_PENDING", "TRADE_STATE_OUTCOME_UNKNOWN"):
                break
            await asyncio.sleep(0.1)
            trade = (await partner.get(f"/v1/trades/{trade['id']}"))["trade"]
        return trade

    async def _balances(self, partner: Partner, customer: str) -> dict[str, str]:
        """Return what she may spend, by asset."""
        accounts = (await partner.get(f"/v1/customers/{customer}/balances"))["accounts"]
        return {a["asset"]: a["balance"]["available"]["value"] for a in accounts}

    async def _naira(self, partner: Partner, customer: str) -> Json:
        """Return what she has, holds and may spend."""
        accounts = (await partner.get(f"/v1/customers/{customer}/balances"))["accounts"]
        balance: Json = next(a["balance"] for a in accounts if a["asset"] == "NGN")
        return balance

    async def _lines(self, tenant: str, partner: Partner, trade: Json) -> list[Json]:
        """Return what the settlement did to each account, and see that it is double entry."""
        path = f"/v1/ledger/entries/{trade['settlement_entry_id']}"
        transfers = (await self._operator.get(path, tenant_id=tenant))["entry"]["transfers"]
        accounts = (await partner.get("/v1/ledger/accounts", page_size="200"))["accounts"]
        names = {account["id"]: account_name(account) for account in accounts}
        lines: dict[tuple[str, str], Json] = {}
        for transfer in transfers:
            asset = transfer["amount"]["asset"]
            for side in ("debit", "credit"):
                name = names[transfer[f"{side}_account_id"]]
                line = lines.setdefault(
                    (name, asset), {"account": name, "asset": asset, "debit": 0, "credit": 0}
                )
                line[side] += units(transfer["amount"])
        self.expect.equal(
            "debits are credits",
            expected=sum(line["debit"] for line in lines.values()),
            actual=sum(line["credit"] for line in lines.values()),
        )
        return list(lines.values())

    def _new_key(self) -> str:
        return f"demo-{next(self._numbers)}"


def units_of(answers: list[Json]) -> list[int]:
    return [units(answer["quote_amount"]) for answer in answers]


def account_name(account: Json) -> str:
    """Return an account's name for people, such as `lp alpha`."""
    kind = account["kind"].removeprefix("ACCOUNT_KIND_").replace("_", " ").lower()
    owner = CUSTOMER if kind == "customer" else account["owner"]
    return f"{kind} {owner}".strip()


def _accept_path(quoted: Json) -> str:
    return f"/v1/quotes/{quoted['quote']['id']}:accept"


def _reason(answer: Answer) -> str:
    return next((str(one["reason"]) for one in answer.body["details"] if "reason" in one), "")


def _bytes(answer: Json) -> bytes:
    return json.dumps(answer).encode()
