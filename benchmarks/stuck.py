"""What a stuck venue costs the tenants that do not trade there.

One tenant trades at a venue of its own, all others at two other ones, at fixed instants. For some
slices its venue takes prices or orders and never answers, or answers a byte at a time; slices in
between have it well. What is printed is the ratio of the others' 99th percentile, stuck over well,
as the median over the pairs of slices: of quotes, and of whole trades.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

import aiohttp
import uvloop

from app.stack.stack import ReadyStack
from benchmarks.client import Client, Failed, Json, Trader, TradeTimes
from benchmarks.ground import VENUES, Broken, run, running_stack, trading
from benchmarks.load import Slice, open_loop, quantile_ms

BEHAVIORS: Final = ("stuck_quote", "drip_quote", "stuck", "drip")
PAIRS: Final = 5
WARM_UP_S: Final = 3.0
WELL_WITHIN_S: Final = 60.0


async def measure(ready: ReadyStack, options: argparse.Namespace) -> Json:
    async with trading(ready, options, connections=0) as (client, traders):
        # Traders are interleaved by tenant; the first tenant is the one with the stuck venue.
        unlucky = traders[:: options.tenants]
        others = [one for number, one in enumerate(traders) if number % options.tenants]
        venue = _Venue(client.session, ready.venue_books[VENUES[options.venues]])
        bench = _Bench(client, unlucky, others, venue, options)
        await _send_to(client, ready.operator_key, VENUES[options.venues])
        await bench.slice(WARM_UP_S)
        return {behavior: await bench.compare(behavior) for behavior in options.behaviors}


class _Venue:
    """The admin port of the venue that gets stuck."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = f"{url}/v1/behavior"

    async def behave(self, behavior: str) -> None:
        async with self._session.put(self._url, json={"behavior": behavior}) as response:
            response.raise_for_status()

    async def behave_well(self) -> None:
        async with self._session.delete(self._url) as response:
            response.raise_for_status()


class _Bench:
    def __init__(
        self,
        client: Client,
        unlucky: Sequence[Trader],
        others: Sequence[Trader],
        venue: _Venue,
        options: argparse.Namespace,
    ) -> None:
        self._client = client
        self._unlucky = unlucky
        self._others = others
        self._venue = venue
        self._options = options

    async def compare(self, behavior: str) -> Json:
        """Alternate slices with the venue well and stuck."""
        pairs: list[Json] = []
        for _ in range(PAIRS):
            well = await self._slice_of(None)
            stuck = await self._slice_of(behavior)
            await self._recover()
            pairs.append({"well": well, "stuck": stuck})
        figures = pairs[0]["well"].keys()
        ratios = {
            figure: round(median(one["stuck"][figure] / one["well"][figure] for one in pairs), 2)
            for figure in figures
        }
        return {"ratios": ratios, "pairs": pairs}

    async def _slice_of(self, behavior: str | None) -> Mapping[str, float]:
        if behavior is not None:
            await self._venue.behave(behavior)
        done = await self.slice(self._options.seconds)
        if self._client.failures:
            raise Broken(f"the others were not served: {dict(self._client.failures)}")
        times = [one for _, one in done.done]
        return {
            "quote": quantile_ms([one.quote_s for one in times], 0.99),
            "trade": quantile_ms([one.whole_s for one in times], 0.99),
        }

    async def slice(self, seconds: float) -> Slice[tuple[float, TradeTimes]]:
        """Let everybody trade; return what the others did."""
        options = self._options
        unlucky = open_loop(self._trade_somehow, seconds=seconds, per_second=options.unlucky_rate)
        others = open_loop(self._trade, seconds=seconds, per_second=options.rate)
        done, _ = await asyncio.gather(others, unlucky)
        return done

    async def _trade(self, number: int) -> TradeTimes:
        return await self._client.trade(self._others[number % len(self._others)], number)

    async def _trade_somehow(self, number: int) -> None:
        """Ask and accept; what comes of it is the venue's business."""
        mine = Client(self._client.session, self._client.rest_url)
        trader = self._unlucky[number % len(self._unlucky)]
        try:
            quote = await mine.quote(trader, number)
            path = f"/v1/quotes/{quote['id']}:accept"
            headers = {**trader.headers, "idempotency-key": f"unlucky-{quote['id']}"}
            await mine.call("POST", path, headers, b"{}")
        except Failed:
            pass

    async def _recover(self) -> None:
        """Wait until the venue's circuit is closed again."""
        await self._venue.behave_well()
        async with asyncio.timeout(WELL_WITHIN_S):
            streak = 0
            while streak < 5:
                mine = Client(self._client.session, self._client.rest_url)
                try:
                    await mine.quote(self._unlucky[0], 0)
                    streak += 1
                except Failed:
                    streak = 0
                await asyncio.sleep(0.3)


async def _send_to(client: Client, operator_key: str, venue: str) -> None:
    """Have the first tenant trade at that venue only."""
    headers = {"authorization": f"Bearer {operator_key}", "content-type": "application/json"}
    tenants = (await client.call("GET", "/v1/tenants?page_size=200", headers))["tenants"]
    first = next(one for one in tenants if one["slug"] == "bench-0")
    body = f'{{"lp_order": ["{venue}"]}}'.encode()
    await client.call("PATCH", f"/v1/tenants/{first['id']}/terms", headers, body)


def _on_stack(options: argparse.Namespace) -> Json:
    with running_stack(venues=options.venues + 1) as ready:
        return uvloop.run(measure(ready, options))


def report(result: Json) -> str:
    """Return the figures as a table."""
    lines = [f"{'others, p99 stuck ÷ well':<28}{'quote':>8}{'trade':>8}   trade, ms well → stuck"]
    for behavior in BEHAVIORS:
        if behavior not in result:
            continue
        ratios, pairs = result[behavior]["ratios"], result[behavior]["pairs"]
        told = "  ".join(
            f"{one['well']['trade']:.0f} → {one['stuck']['trade']:.0f}" for one in pairs
        )
        lines.append(f"{behavior:<28}{ratios['quote']:>8.2f}{ratios['trade']:>8.2f}   {told}")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.stuck", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8, help="of a slice")
    parser.add_argument("--rate", type=float, default=20, help="trades a second of the others")
    parser.add_argument(
        "--unlucky-rate", type=float, default=10, help="trades a second at the stuck venue"
    )
    parser.add_argument("--tenants", type=int, default=4)
    parser.add_argument("--customers", type=int, default=50, help="per tenant")
    parser.add_argument("--venues", type=int, default=2, help="of the others")
    parser.add_argument("--behaviors", nargs="+", choices=BEHAVIORS, default=BEHAVIORS)
    return parser


def main() -> int:
    return 0 if run(_parser(), _on_stack, report) else 1


if __name__ == "__main__":
    sys.exit(main())
