"""A picture of the books' rate: against the size of a batch, what is stored, and tenants."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.client import Json


def draw(result: Json, judged: Mapping[str, tuple[float, float]], file: Path) -> None:
    """Write it as PNG; `judged` says what is wanted of a case, and what is its goal."""
    figure = Figure(figsize=(15, 4.5), layout="constrained")
    batches, stored, tenants = figure.subplots(1, 3)

    names = [name for name, (wanted, _) in judged.items() if wanted]
    places = range(len(names))
    batches.bar(places, [result["cases"][name]["times_tpc_b"] for name in names], color="#4a7fb5")
    for place, name in zip(places, names, strict=True):
        wanted, goal = judged[name]
        batches.hlines(wanted, place - 0.45, place + 0.45, color="#222222", linewidth=2)
        batches.hlines(goal, place - 0.45, place + 0.45, color="#222222", linestyles="dotted")
    batches.set_xticks(places, [name.removeprefix("batch of ") for name in names])
    batches.set_title("batch size; lines: wanted and goal")

    sizes = [int(size) for size in result["stored"]]
    stored.plot(sizes, [one["times_tpc_b"] for one in result["stored"].values()], "o-")
    stored.set_xscale("log")
    stored.set_title("transfers stored, batches of 1,024 of one tenant")

    counts = [int(count) for count in result["tenants"]]
    tenants.plot(counts, [one["share"] for one in result["tenants"].values()], "o-")
    tenants.set_xscale("log")
    tenants.axhline(0.9, color="#222222", linewidth=1)
    tenants.set_title("tenants in turn, batches of 64, as a share of one")

    for axes in (batches, stored):
        axes.set_ylabel("transfers a second, × TPC-B")
    for axes in (batches, stored, tenants):
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", alpha=0.3)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
