"""Quote, accept, settled: over REST, through Envoy, several tenants and customers at once.

The yardstick is the same client calling a method without database work through the same Envoy; a
trade is two calls, so the ratio says what is left of it once a trade's work is done behind them.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from statistics import median
from typing import Any, Final

import asyncpg
import uvloop

from app.stack.stack import ReadyStack
from benchmarks.client import Client, Json, Trader, TradeTimes
from benchmarks.ground import EVENTS_WAITING, Broken, run, running_stack, trading
from benchmarks.load import Slice, closed_loop, open_loop, quantile_ms, with_cores

SLICES: Final = 5
WARM_UP_S: Final = 2.0
RELAY_TIMEOUT_S: Final = 120.0


async def measure(ready: ReadyStack, options: argparse.Namespace) -> Json:
    connections = options.concurrency * 2
    async with trading(ready, options, connections=connections) as (client, traders):
        result = await _measure(client, traders, options)
        await _assert_books(client, traders)
    result["settled"] = client.settled
    result["settled_after_the_answer"] = client.settled_late
    result["failures"] = dict(client.failures)
    result["database"] = await _look_into_database(
        ready.database_url, client.settled, failures=client.failures.total()
    )
    return result


def _on_stack(options: argparse.Namespace) -> Json:
    with running_stack(serve=options.serve, work=options.work) as ready:
        return uvloop.run(measure(ready, options))


async def _measure(client: Client, traders: list[Trader], options: argparse.Namespace) -> Json:
    async def read(number: int) -> None:
        await client.read_assets(traders[number % len(traders)])

    async def trade(number: int) -> TradeTimes:
        return await client.trade(traders[number % len(traders)], number // len(traders))

    load: Any = {"seconds": options.seconds / SLICES, "concurrency": options.concurrency}
    warm_up = load | {"seconds": WARM_UP_S}
    await closed_loop(read, **warm_up)
    await closed_loop(trade, **warm_up)
    yardstick: list[Json] = []
    trades: list[Json] = []
    times: list[TradeTimes] = []
    for _ in range(SLICES):
        reads, cores = await with_cores(closed_loop(read, **load))
        yardstick.append({"calls_per_s": round(reads.per_second, 1), "cores": cores})
        done, cores = await with_cores(closed_loop(trade, **load))
        trades.append({"trades_per_s": round(done.per_second, 1), "cores": cores})
        trades[-1] |= {"trades": len(done.done)} | _latencies(done.done)
        times += done.done
    calls_per_s = median(one["calls_per_s"] for one in yardstick)
    trades_per_s = median(one["trades_per_s"] for one in trades)
    if not trades_per_s:
        raise Broken(f"no trade settled: {dict(client.failures)}")
    half = await open_loop(trade, seconds=options.seconds / 2, per_second=trades_per_s / 2)
    return {
        "calls_per_s": calls_per_s,
        "pairs_per_s": round(calls_per_s / 2, 1),
        "trades_per_s": trades_per_s,
        "ratio": round(trades_per_s / (calls_per_s / 2), 3),
        "full_load": _latencies(times),
        "half_load": {"trades_per_s": round(half.per_second, 1)} | _latencies_since_due(half),
        "cores": {
            "yardstick": _median_cores(yardstick),
            "trades": _median_cores(trades),
        },
        "processor_ms": {
            "one call": _processor_ms(yardstick, "calls_per_s"),
            "one trade": _processor_ms(trades, "trades_per_s"),
        },
        "slices": {"yardstick": yardstick, "trades": trades},
    }


def _median_cores(slices: list[Json]) -> dict[str, float]:
    return {
        part: round(median(one["cores"].get(part, 0) for one in slices), 2)
        for part in sorted(slices[0]["cores"])
    }


def _processor_ms(slices: list[Json], rate: str) -> dict[str, float]:
    """Return what one operation costs each part; other work on the machine changes it little."""
    parts = sorted(slices[0]["cores"])
    busy = [one for one in slices if one[rate]]
    costs = {part: [one["cores"].get(part, 0) / one[rate] for one in busy] for part in parts}
    return {part: round(median(cost) * 1000, 2) for part, cost in costs.items()}


def _latencies(times: list[TradeTimes]) -> Json:
    return {
        "quote": _quantiles([one.quote_s for one in times]),
        "accept": _quantiles([one.accept_s for one in times]),
        "trade": _quantiles([one.whole_s for one in times]),
    }


def _latencies_since_due(half: Slice[tuple[float, TradeTimes]]) -> Json:
    """Return latencies that count from when the customer came, not from when we had time."""
    return {
        "quote": _quantiles([one.began + one.quote_s - due for due, one in half.done]),
        "accept": _quantiles([one.accept_s for _, one in half.done]),
        "trade": _quantiles([one.ended - due for due, one in half.done]),
    }


def _quantiles(seconds: list[float]) -> Json:
    if not seconds:
        return {}
    return {
        "p50_ms": round(quantile_ms(seconds, 0.50), 1),
        "p99_ms": round(quantile_ms(seconds, 0.99), 1),
    }


async def _assert_books(client: Client, traders: list[Trader]) -> None:
    """Every tenant's accounts sum to zero per asset, and nothing is left in clearing or held."""
    by_key = {trader.headers["authorization"]: trader.headers for trader in traders}
    for headers in by_key.values():
        sums: dict[str, int] = {}
        async for account in _accounts(client, headers):
            balance = account["balance"]
            posted, held = (_units(balance[column]) for column in ("posted", "held"))
            sums[account["asset"]] = sums.get(account["asset"], 0) + posted
            is_clearing = account["kind"] == "ACCOUNT_KIND_TRADE_CLEARING"
            if held or (is_clearing and posted):
                raise Broken(f"money is left under way: {account}")
        if not sums or any(sums.values()):
            raise Broken(f"the books do not balance: {sums}")


async def _accounts(client: Client, headers: dict[str, str]) -> Any:
    token = ""
    while True:
        query = f"?page_size=200&page_token={token}"
        page = await client.call("GET", f"/v1/ledger/accounts{query}", headers)
        for account in page["accounts"]:
            yield account
        token = page["next_page_token"]
        if not token:
            return


async def _look_into_database(url: str, settled: int, *, failures: int) -> Json:
    """Compare what we were told with what is there, and wait until every event is out."""
    connection = await asyncpg.connect(url)
    loop = asyncio.get_running_loop()
    try:
        states = dict(await connection.fetch("SELECT state, count(*) FROM core.trades GROUP BY 1"))
        # A trade whose answer was lost may have settled all the same; that is no break.
        if not failures and states != {"settled": settled}:
            raise Broken(f"{settled} trades were settled, the database says {states}")
        began = loop.time()
        waiting = first = await connection.fetchval(EVENTS_WAITING)
        while waiting and loop.time() - began < RELAY_TIMEOUT_S:
            await asyncio.sleep(0.2)
            waiting = await connection.fetchval(EVENTS_WAITING)
        return {
            "server": await connection.fetchval("SHOW server_version"),
            "events_waiting_at_the_end": first,
            "events_all_out_after_s": round(loop.time() - began, 1),
            "events_never_out": waiting,
        }
    finally:
        await connection.close()


def _units(amount: Json) -> int:
    return int(amount["value"].replace(".", ""))


def report(result: Json) -> str:
    """Return the figures as a table."""
    database = result["database"]
    lines = [
        f"{'':<22}{'median':>10}   slices",
        _rates("yardstick, calls/s", result["calls_per_s"],
               [one["calls_per_s"] for one in result["slices"]["yardstick"]]),
        _rates("yardstick, pairs/s", result["pairs_per_s"], []),
        _rates("trades/s", result["trades_per_s"],
               [one["trades_per_s"] for one in result["slices"]["trades"]]),
        f"{'ratio':<22}{result['ratio']:>10.3f}   trades/s ÷ pairs/s",
        "",
        f"{'latency, ms':<22}{'quote':>16}{'accept':>16}{'trade':>16}",
        *_quantile_lines("full load", result["full_load"]),
        *_quantile_lines(f"{result['half_load']['trades_per_s']:.0f} trades/s",
                         result["half_load"]),
        "",
        *_part_lines("cores busy", result["cores"]),
        "",
        *_part_lines("processor ms of", result["processor_ms"]),
        "",
        f"{result['settled']} trades settled, {sum(result['failures'].values())} failures, "
        "the books balance",
        f"{database['events_waiting_at_the_end']} events were waiting, "
        f"all out after {database['events_all_out_after_s']} s",
    ]  # fmt: skip
    return "\n".join(line.rstrip() for line in lines)


def _rates(what: str, of: float, slices: list[float]) -> str:
    return f"{what:<22}{of:>10.1f}   " + "  ".join(f"{one:.1f}" for one in slices)


def _part_lines(what: str, of: Json) -> Iterator[str]:
    parts = list(next(iter(of.values())))
    yield f"{what:<22}" + "".join(f"{part:>10}" for part in parts)
    for name, figures in of.items():
        yield f"{name:<22}" + "".join(f"{figures[part]:>10.2f}" for part in parts)


def _quantile_lines(what: str, of: Json) -> Iterator[str]:
    for name in ("p50", "p99"):
        cells = "".join(f"{of[step][f'{name}_ms']:>16.1f}" for step in ("quote", "accept", "trade"))
        yield f"{f'{what}, {name}':<22}{cells}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.trade", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="of each of the two loads")
    parser.add_argument("--concurrency", type=int, default=128, help="operations under way")
    parser.add_argument("--tenants", type=int, default=4)
    parser.add_argument("--customers", type=int, default=50, help="per tenant")
    parser.add_argument("--venues", type=int, default=1, help="asked for each quote, 1 or 2")
    parser.add_argument("--serve", type=int, default=1, help="gRPC servers")
    parser.add_argument("--work", type=int, default=1, help="workers")
    return parser


def main() -> int:
    result = run(_parser(), _on_stack, report)
    if result and result["failures"]:
        print(f"✗ failures: {result['failures']}", file=sys.stderr)
    if not result or result["failures"] or result["database"]["events_never_out"]:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
