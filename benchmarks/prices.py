"""How many prices a second the platform tells: indicative ones, and firm ones that it keeps.

Over REST, through Envoy, several tenants at once. The yardstick is the same client calling a method
without database work through the same Envoy; slices of all three take turns, so that a neighbor on
the machine slows them alike.
"""

import argparse
import sys
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any, Final

import uvloop

from app.stack.stack import ReadyStack
from benchmarks.client import Client, Json, Trader
from benchmarks.ground import Broken, run, running_stack, trading
from benchmarks.load import closed_loop, with_cores

SLICES: Final = 5
WARM_UP_S: Final = 2.0
WANTED: Final = {"indicative": 0.40, "firm": 0.20}
"""How many of the yardstick's calls a second there are to be, as a share."""

Operation = Callable[[int], Awaitable[Any]]


async def measure(ready: ReadyStack, options: argparse.Namespace) -> Json:
    connections = options.concurrency * 2
    async with trading(ready, options, connections=connections) as (client, traders):
        slices = await _measure(_operations(client, traders, options.sizes), options)
    if client.failures:
        raise Broken(f"not every price was told: {dict(client.failures)}")
    per_second = {name: median(one["per_s"] for one in slices[name]) for name in slices}
    return {
        "per_s": per_second,
        "ratios": {name: round(per_second[name] / per_second["yardstick"], 3) for name in WANTED},
        "processor_ms": {name: _processor_ms(slices[name]) for name in slices},
        "slices": slices,
    }


def _operations(client: Client, traders: list[Trader], sizes: int) -> dict[str, Operation]:
    queries = [
        f"side={side}&base_asset=BTC&quote_asset=NGN"
        f"&base_amount.value=0.001{number:03}&base_amount.asset=BTC"
        for number in range(sizes)
        for side in ("SIDE_BUY", "SIDE_SELL")
    ]

    async def read(number: int) -> None:
        await client.read_assets(traders[number % len(traders)])

    async def look(number: int) -> None:
        await client.read_price(traders[number % len(traders)], queries[number % len(queries)])

    async def quote(number: int) -> None:
        await client.quote(traders[number % len(traders)], number // len(traders))

    return {"yardstick": read, "indicative": look, "firm": quote}


async def _measure(
    operations: dict[str, Operation], options: argparse.Namespace
) -> dict[str, list[Json]]:
    load: Any = {"seconds": options.seconds / SLICES, "concurrency": options.concurrency}
    for operation in operations.values():
        await closed_loop(operation, **load | {"seconds": WARM_UP_S})
    slices: dict[str, list[Json]] = {name: [] for name in operations}
    for _ in range(SLICES):
        for name, operation in operations.items():
            done, cores = await with_cores(closed_loop(operation, **load))
            slices[name].append({"per_s": round(done.per_second, 1), "cores": cores})
    return slices


def _processor_ms(slices: list[Json]) -> dict[str, float]:
    return {
        part: round(median(one["cores"].get(part, 0) / one["per_s"] for one in slices) * 1000, 2)
        for part in sorted(slices[0]["cores"])
    }


def _on_stack(options: argparse.Namespace) -> Json:
    with running_stack() as ready:
        return uvloop.run(measure(ready, options))


def report(result: Json) -> str:
    """Return the figures as a table."""
    lines = [f"{'a second':<22}{'median':>10}{'ratio':>8}{'wanted':>8}   slices"]
    for name, per_s in result["per_s"].items():
        ratio, wanted = result["ratios"].get(name, ""), WANTED.get(name, "")
        slices = "  ".join(f"{one['per_s']:.1f}" for one in result["slices"][name])
        lines.append(f"{name:<22}{per_s:>10.1f}{ratio:>8}{wanted:>8}   {slices}")
    parts = list(next(iter(result["processor_ms"].values())))
    lines += ["", f"{'processor ms of':<22}" + "".join(f"{part:>10}" for part in parts)]
    for name, figures in result["processor_ms"].items():
        lines.append(f"{name:<22}" + "".join(f"{figures[part]:>10.2f}" for part in parts))
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.prices", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="of each of the three loads")
    parser.add_argument("--concurrency", type=int, default=64, help="calls under way")
    parser.add_argument("--tenants", type=int, default=4)
    parser.add_argument("--customers", type=int, default=10, help="per tenant")
    parser.add_argument("--venues", type=int, default=1, help="asked for each price, 1 or 2")
    parser.add_argument("--sizes", type=int, default=8, help="that indicative prices are for")
    return parser


def main() -> int:
    return 0 if run(_parser(), _on_stack, report) else 1


if __name__ == "__main__":
    sys.exit(main())
