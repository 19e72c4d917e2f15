"""What must hold when everything is at rest: our rows against each other and the venues' books."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from domain.ids import AttemptId, BreakId, TenantId, TradeId
from tests.crash.database import Row, Snapshot
from tests.crash.ports import Stream
from tests.crash.venue import Execution, Venue
from tests.crash.wire import WireVenue
from tests.crash.workload import ACCEPT, Heard

ENDED: Final = frozenset({"settled", "rejected"})
WINDOW: Final = timedelta(seconds=30)
HOUSE_KINDS: Final = frozenset({"lp", "platform_fee", "slippage"})
QUOTE_EXPIRED: Final = "QUOTE_EXPIRED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that is known after a run."""

    tenant_id: TenantId
    rows: Snapshot
    venues: Mapping[str, Venue | WireVenue]
    heard: Sequence[Heard]
    stream: Stream
    deposits: Mapping[str, int]
    base: str
    quote: str


def violations(evidence: Evidence) -> Iterator[str]:
    """Say everything that is wrong, one line each."""
    for check in (
        _ends,
        _executions,
        _holds,
        _quotes_and_requests,
        _columns,
        _amounts,
        _transitions,
        _events,
        _house,
        _receipts,
        _breaks,
        _late_fills,
    ):
        yield from check(evidence)


def late_fills(evidence: Evidence) -> Counter[str]:
    """Count the late fills that were found, by what had become of their trades."""
    states = {trade["id"]: trade["state"] for trade in evidence.rows["trades"]}
    return Counter(
        f"told as filled late, {states[row['trade_id']]}"
        for row in evidence.rows["breaks"]
        if row["kind"] == "LATE_FILL"
    )


def _ends(evidence: Evidence) -> Iterator[str]:
    queued = {row["trade_id"] for row in evidence.rows["trade_queue"]}
    for trade in evidence.rows["trades"]:
        if trade["state"] in ENDED:
            if trade["id"] in queued:
                yield f"trade {trade['state']} but still queued"
            continue
        attempt = _attempts(evidence, trade)[-1]
        venue = evidence.venues[attempt["lp"]]
        is_stuck = (
            trade["state"] == "outcome_unknown"
            and attempt["state"] == "unknown"
            and venue.can_never_tell(str(AttemptId(UUID(attempt["id"]))))
        )
        if not is_stuck:
            yield f"trade still {trade['state']}/{attempt['state']} though its venue can tell"
        elif not attempt["next_check_at"] or not trade["unknown_since"]:
            yield "trade unknown without a next check"
        if trade["id"] not in queued:
            yield "live trade not queued"
    if len(queued) > len(evidence.rows["trades"]):
        yield "queue row without a trade"


def _executions(evidence: Evidence) -> Iterator[str]:
    trade_of: dict[str, Row] = {}
    for trade in evidence.rows["trades"]:
        for attempt in _attempts(evidence, trade):
            trade_of[str(AttemptId(UUID(attempt["id"])))] = trade
    real: dict[str, list[tuple[str, Execution]]] = defaultdict(list)
    for venue in evidence.venues.values():
        for execution in venue.executions:
            found = trade_of.get(execution.client_order_id)
            if found is None:
                yield f"{venue.name} executed an order that no attempt names"
            else:
                real[found["id"]].append((venue.name, execution))
    late = Counter(row["trade_id"] for row in evidence.rows["breaks"] if row["kind"] == "LATE_FILL")
    for trade in evidence.rows["trades"]:
        made = real[trade["id"]]
        wanted = {"settled": (1,), "rejected": (0,)}.get(trade["state"], (0, 1))
        if len(made) - late[trade["id"]] not in wanted:
            yield (
                f"trade {trade['state']} with {len(made)} executions, {late[trade['id']]} of them"
                " told as late"
            )
        if trade["state"] == "settled":
            yield from _the_fill(evidence, trade, made)


def _the_fill(
    evidence: Evidence, trade: Row, made: Sequence[tuple[str, Execution]]
) -> Iterator[str]:
    filled = [row for row in _attempts(evidence, trade) if row["state"] == "filled"]
    if len(filled) != 1:
        yield f"settled trade with {len(filled)} filled attempts"
        return
    attempt = filled[0]
    if not any(
        name == attempt["lp"]
        and execution.id == attempt["venue_order_id"]
        and execution.client_order_id == str(AttemptId(UUID(attempt["id"])))
        and execution.quote.units == int(attempt["filled_units"])
        and execution.base.units == int(trade["base_units"])
        for name, execution in made
    ):
        yield "the filled attempt is not what the venue executed"


def _holds(evidence: Evidence) -> Iterator[str]:
    by_pending = defaultdict(list)
    for row in evidence.rows["resolutions"]:
        by_pending[row["pending_id"]].append(row["kind"])
    transfers = defaultdict(list)
    for row in evidence.rows["transfers"]:
        if row["pending_id"]:
            transfers[row["pending_id"]].append(row["kind"])
    for trade in evidence.rows["trades"]:
        wanted = {"settled": ["post"], "rejected": ["void"]}.get(trade["state"], [])
        for found in (by_pending[trade["hold_id"]], transfers[trade["hold_id"]]):
            if found != wanted:
                yield f"hold of a trade {trade['state']} was resolved by {found}"


def _quotes_and_requests(evidence: Evidence) -> Iterator[str]:
    quotes = {row["id"]: row for row in evidence.rows["quotes"]}
    trades = {row["id"]: row for row in evidence.rows["trades"]}
    of_quote = Counter(row["quote_id"] for row in evidence.rows["trades"])
    for trade in trades.values():
        quote = quotes[trade["quote_id"]]
        if of_quote[trade["quote_id"]] != 1:
            yield "two trades of one quote"
        if quote["trade_id"] != trade["id"] or quote["state"] != "accepted":
            yield "the quote does not name its trade"
        if any(quote[name] != trade[name] for name in ("base_units", "quote_units", "side")):
            yield "the trade has other terms than its quote"
    requests = {(row["rpc"], row["request_id"]): row for row in evidence.rows["requests"]}
    for request in requests.values():
        if request["rpc"] == ACCEPT and request["resource_id"]:
            found = trades.get(request["resource_id"])
            if found is None:
                yield "a request stands for a trade that does not exist"
            elif _time(request["created_at"]) >= _time(quotes[found["quote_id"]]["expires_at"]):
                yield "a quote was accepted after its expiry"
        elif request["rpc"] == ACCEPT and request["refusal"]["reason"] == QUOTE_EXPIRED:
            quote_id = UUID(int=_typed(request["refusal"]["metadata"]["quote_id"]))
            if _time(request["created_at"]) < _time(quotes[str(quote_id)]["expires_at"]):
                yield "a quote was refused as expired before its expiry"
    for heard in evidence.heard:
        request_row = requests.get((heard.rpc, heard.request_id))
        if heard.resource:
            uuid = str(UUID(int=_typed(heard.resource)))
            if request_row is None or request_row["resource_id"] != uuid:
                yield f"{heard.rpc} answered with something that its request does not stand for"
        elif request_row is not None and request_row["resource_id"]:
            yield f"{heard.rpc} refused with {heard.refusal}, and made something"
    said: dict[tuple[str, str], set[str]] = defaultdict(set)
    for heard in evidence.heard:
        said[heard.rpc, heard.request_id].add(heard.resource or heard.refusal)
    for (rpc, _), answers in said.items():
        if len(answers) > 1:
            yield f"one request of {rpc} was answered in {len(answers)} ways"


def _columns(evidence: Evidence) -> Iterator[str]:
    columns: dict[str, Counter[str]] = defaultdict(Counter)
    pending = {row["id"]: int(row["units"]) for row in evidence.rows["transfers"]}
    for row in evidence.rows["transfers"]:
        debit, credit = columns[row["debit_account_id"]], columns[row["credit_account_id"]]
        debit["version"] += 1
        credit["version"] += 1
        units, kind = int(row["units"]), row["kind"]
        if kind in ("regular", "post"):
            debit["debits_posted"] += units
            credit["credits_posted"] += units
        if kind == "pending":
            debit["debits_pending"] += units
            credit["credits_pending"] += units
        elif row["pending_id"]:
            debit["debits_pending"] -= pending[row["pending_id"]]
            credit["credits_pending"] -= pending[row["pending_id"]]
    sums: Counter[str] = Counter()
    live_holds = Counter(
        {
            asset: sum(
                int(trade["quote_units" if trade["side"] == "buy" else "base_units"])
                for trade in evidence.rows["trades"]
                if trade["state"] not in ENDED
                and (evidence.quote if trade["side"] == "buy" else evidence.base) == asset
            )
            for asset in (evidence.base, evidence.quote)
        }
    )
    for account in evidence.rows["accounts"]:
        name = f"{account['kind']} {account['asset']}"
        for column in _COLUMNS:
            if int(account[column]) != columns[account["id"]][column]:
                yield f"{name}: {column} is not the sum of its lines"
        sums[account["asset"]] += _balance(account)
        if account["kind"] == "trade_clearing":
            if _balance(account):
                yield f"{name}: posted balance is not zero"
            if int(account["credits_pending"]) != live_holds[account["asset"]]:
                yield f"{name}: pending is not the live holds"
    for asset, total in sums.items():
        if total:
            yield f"the book does not sum to zero in {asset}"


_COLUMNS: Final = (
    "version",
    "debits_pending",
    "debits_posted",
    "credits_pending",
    "credits_posted",
)


def _amounts(evidence: Evidence) -> Iterator[str]:
    """The customer gets and gives exactly the amounts of the quote, the others their parts."""
    wanted: Counter[tuple[str, str]] = Counter()
    for asset, units in evidence.deposits.items():
        for kind in ("customer", "treasury"):
            wanted[kind, asset] += units
    for trade in evidence.rows["trades"]:
        if trade["state"] != "settled":
            continue
        fills = [
            int(row["filled_units"])
            for row in _attempts(evidence, trade)
            if row["state"] == "filled"
        ]
        fill = fills[0] if fills else 0
        party = "customer" if trade["customer_id"] else "treasury"
        sign = 1 if trade["side"] == "buy" else -1
        lp = int(trade["lp_units"])
        wanted[party, evidence.base] += sign * int(trade["base_units"])
        wanted[party, evidence.quote] -= sign * int(trade["quote_units"])
        wanted["lp", evidence.base] -= sign * int(trade["base_units"])
        wanted["lp", evidence.quote] += sign * fill
        wanted["slippage", evidence.quote] += sign * (lp - fill)
        wanted["platform_fee", evidence.quote] += int(trade["fee_units"])
        wanted["tenant_markup", evidence.quote] += int(trade["markup_units"])
    found: Counter[tuple[str, str]] = Counter()
    for account in evidence.rows["accounts"]:
        if account["kind"] not in ("external", "trade_clearing"):
            found[account["kind"], account["asset"]] += _balance(account)
    for key in wanted.keys() | found.keys():
        if wanted[key] != found[key]:
            yield f"{' '.join(key)} is {found[key] - wanted[key]:+} units off"


def _transitions(evidence: Evidence) -> Iterator[str]:
    for trade in evidence.rows["trades"]:
        steps = sorted(
            (row for row in evidence.rows["trade_transitions"] if row["trade_id"] == trade["id"]),
            key=lambda row: (row["version"], row["ordinal"]),
        )
        ends = {0: "pending"}
        for step in steps:
            if step["from_state"] != ends.get(step["attempt"], ""):
                yield f"a step from {step['from_state']} after {ends.get(step['attempt'])}"
            ends[step["attempt"]] = step["to_state"]
        states = {0: trade["state"]} | {
            row["number"]: row["state"] for row in _attempts(evidence, trade)
        }
        if ends != states:
            yield f"steps lead to {ends}, the rows say {states}"
        ordinals = defaultdict(list)
        for step in steps:
            ordinals[step["version"]].append(step["ordinal"])
        if any(each != list(range(1, len(each) + 1)) for each in ordinals.values()):
            yield "steps of one version have gaps"
        if steps and steps[-1]["version"] > trade["version"]:
            yield "a step of a version that the trade does not have"
        for attempt in _attempts(evidence, trade):
            sent_at = attempt["sent_at"]
            if sent_at and _time(sent_at) - _time(trade["accepted_at"]) >= WINDOW:
                yield "an attempt was sent after the execution window"


def _events(evidence: Evidence) -> Iterator[str]:
    rows = sorted(evidence.rows["outbox"], key=lambda row: row["sequence"] or 0)
    if [row["sequence"] for row in rows] != list(range(1, len(rows) + 1)):
        yield "the tenant's events are not numbered without gaps"
    heads = [row["last"] for row in evidence.rows["event_heads"]]
    if heads != ([len(rows)] if rows else []):
        yield f"the head says {heads} of {len(rows)} events"
    told = Counter((row["type"], row["subject"]) for row in rows)
    wanted: Counter[tuple[str, str]] = Counter()
    for trade in evidence.rows["trades"]:
        subject = str(TradeId(UUID(trade["id"])))
        wanted["trade.accepted", subject] += 1
        if trade["state"] in ENDED:
            wanted[f"trade.{trade['state']}", subject] += 1
    for row in evidence.rows["trade_transitions"]:
        if row["attempt"] == 0 and row["to_state"] == "outcome_unknown":
            wanted["trade.outcome_unknown", str(TradeId(UUID(row["trade_id"])))] += 1
    trade_events = {key: count for key, count in told.items() if key[0].startswith("trade.")}
    for key in trade_events.keys() | wanted.keys():
        if trade_events.get(key, 0) != wanted[key]:
            yield f"{key[0]} was told {trade_events.get(key, 0)} times, not {wanted[key]}"
    raised = {("break.raised", str(BreakId(UUID(row["id"])))): 1 for row in evidence.rows["breaks"]}
    if {key: count for key, count in told.items() if key[0] == "break.raised"} != raised:
        yield "the breaks are not told once each"
    quotes = sum(count for (type, _), count in told.items() if type == "quote.created")
    if quotes != len(evidence.rows["quotes"]):
        yield f"{len(evidence.rows['quotes'])} quotes, {quotes} events of them"
    order: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        order[row["subject"]].append(row["type"])
    for types in order.values():
        if "trade.accepted" in types and types[0] != "trade.accepted":
            yield f"events of a trade in the order {types}"
        if any(type in types[:-1] for type in ("trade.settled", "trade.rejected")):
            yield f"events of a trade go on after its end: {types}"
    stored = {
        event.sequence for event in evidence.stream.stored if event.tenant_id == evidence.tenant_id
    }
    if stored != set(range(1, len(rows) + 1)):
        yield f"the bus got the events {sorted(stored)} of {len(rows)}"


def _house(evidence: Evidence) -> Iterator[str]:
    mine: Counter[tuple[str, str]] = Counter()
    for account in evidence.rows["accounts"]:
        if account["kind"] in HOUSE_KINDS:
            mine[account["kind"], account["asset"]] += _balance(account)
    house = Counter(
        {(row["kind"], row["asset"]): int(row["units"]) for row in evidence.rows["house"]}
    )
    for key in mine.keys() | house.keys():
        if mine[key] != house[key]:
            yield f"the house's book is {house[key] - mine[key]:+} off in {' '.join(key)}"
    for letter in evidence.rows["dead_letters"]:
        yield f"dead letter: {letter['reason']}"


def _receipts(evidence: Evidence) -> Iterator[str]:
    made = Counter(row["trade_id"] for row in evidence.rows["receipts"])
    for trade in evidence.rows["trades"]:
        if made[trade["id"]] != int(trade["state"] in ENDED):
            yield f"trade {trade['state']} with {made[trade['id']]} receipts"


def _breaks(evidence: Evidence) -> Iterator[str]:
    """A fill beyond the tolerance is told once, and nothing else is."""
    raised = Counter((row["trade_id"], row["kind"]) for row in evidence.rows["breaks"])
    for trade in evidence.rows["trades"]:
        fills = [
            int(row["filled_units"])
            for row in _attempts(evidence, trade)
            if row["state"] == "filled"
        ]
        lp, bps = int(trade["lp_units"]), trade["tolerance_bps"]
        is_buy = trade["side"] == "buy"
        beyond = trade["state"] == "settled" and any(
            fill * 10_000 > lp * (10_000 + bps) if is_buy else fill * 10_000 < lp * (10_000 - bps)
            for fill in fills
        )
        if raised[trade["id"], "FILL_BEYOND_TOLERANCE"] != int(beyond):
            yield f"{raised[trade['id'], 'FILL_BEYOND_TOLERANCE']} breaks of a fill's price"


def _late_fills(evidence: Evidence) -> Iterator[str]:
    """What a venue executed for an attempt that is absent is one break and one entry of the house.

    Nothing else is either.
    """
    real: Counter[tuple[str, int, str, int, int]] = Counter()
    for trade in evidence.rows["trades"]:
        for attempt in _attempts(evidence, trade):
            if attempt["state"] != "absent":
                continue
            order = str(AttemptId(UUID(attempt["id"])))
            for one in evidence.venues[attempt["lp"]].executions:
                if one.client_order_id == order:
                    number, units = attempt["number"], (one.base.units, one.quote.units)
                    real[trade["id"], number, one.id, *units] += 1
    told = Counter(
        (
            row["trade_id"],
            row["attempt"],
            row["venue_order_id"],
            int(row["base_units"]),
            int(row["units"]),
        )
        for row in evidence.rows["breaks"]
        if row["kind"] == "LATE_FILL"
    )
    if told != real:
        yield f"{real.total()} late fills, breaks of {told.total()}, {(told & real).total()} right"
    taken_over: dict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for row in evidence.rows["inventory"]:
        line = (row["kind"], row["owner"], row["asset"], row["units"])
        taken_over[row["reference"]][line] += 1
    trades = {row["id"]: row for row in evidence.rows["trades"]}
    wanted: dict[str, Counter[tuple[str, ...]]] = {}
    for row in evidence.rows["breaks"]:
        if row["kind"] != "LATE_FILL":
            continue
        trade = trades[row["trade_id"]]
        lp = _attempts(evidence, trade)[row["attempt"] - 1]["lp"]
        sign = 1 if trade["side"] == "buy" else -1
        base, quote = sign * int(row["base_units"]), -sign * int(row["units"])
        wanted[str(BreakId(UUID(row["id"])))] = Counter(
            {
                (kind, owner, asset, str(factor * units)): 1
                for kind, owner, factor in (("inventory", "", 1), ("lp", lp, -1))
                for asset, units in ((evidence.base, base), (evidence.quote, quote))
            }
        )
    if taken_over != wanted:
        yield f"the house took over {len(taken_over)} late fills, or other amounts of {len(wanted)}"
    absent = {
        (trade["id"], attempt["number"])
        for trade in evidence.rows["trades"]
        for attempt in _attempts(evidence, trade)
        if attempt["state"] == "absent"
    }
    looked_at = {
        (row["trade_id"], row["attempt"])
        for row in evidence.rows["late_checks"]
        if row["due_at"] is None and row["looks"]
    }
    if looked_at != absent:
        yield f"{len(absent)} attempts absent, {len(looked_at)} looked at to the end"


def _attempts(evidence: Evidence, trade: Row) -> list[Row]:
    mine = [row for row in evidence.rows["attempts"] if row["trade_id"] == trade["id"]]
    return sorted(mine, key=lambda row: row["number"])


def _balance(account: Row) -> int:
    return int(account["credits_posted"]) - int(account["debits_posted"])


def _time(text: Any) -> datetime:
    return datetime.fromisoformat(text)


def _typed(text: str) -> int:
    value = 0
    for digit in text.rpartition("_")[2]:
        value = value << 5 | "0123456789abcdefghjkmnpqrstvwxyz".index(digit)
    return value
