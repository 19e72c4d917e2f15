"""A short run of `make chaos`: enough to know that it still breaks, heals and looks."""

from pathlib import Path

import asyncpg
import nats
import pytest

from adapters.nats.bus import STREAM
from domain.ids import TradeId
from tests.chaos.checks import Aftermath, check
from tests.chaos.history import History
from tests.chaos.run import Options, run

SEED = 7


@pytest.mark.chaos
async def test_a_few_faults_under_load_leave_no_trace_and_a_forged_one_is_seen(
    tmp_path: Path,
) -> None:
    lines: list[str] = []
    seen: set[str] = set()
    options = Options(
        seed=SEED,
        seconds=8,
        home=tmp_path,
        customers=12,
        tenants=2,
        serve=2,
        work=2,
        actions_per_s=10,
    )

    async def forge(history: History, aftermath: Aftermath) -> None:
        forged = await _forge(history, aftermath)
        await check(forged, aftermath)
        seen.update(violation.rule for violation in forged.violations)

    report = await run(options, lines.append, afterwards=forge)

    assert report.history.violations == [], "\n".join(lines)
    assert report.fired.total() >= 2
    assert report.found.states["settled"] > 0
    assert report.history.balances_compared >= options.customers
    assert seen >= {
        "acknowledged trade",
        "balance",
        "double execution",
        "event",
        "hold",
        "one effect",
    }


async def _forge(history: History, aftermath: Aftermath) -> History:
    """Do by hand what no fault may do."""
    tenant_id = history.trades[0].tenant_id
    settled = [
        trade
        for trade in history.trades
        if trade.state == "settled" and trade.tenant_id == tenant_id
    ]
    first, second, third = (TradeId.parse(trade.trade_id).uuid for trade in settled[:3])
    connection = await asyncpg.connect(aftermath.database_url)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(
        "UPDATE core.trades SET quote_units = quote_units + 1 WHERE id = $1", first
    )
    # The first one's order becomes the second one's: executed twice, and not at all.
    await connection.execute(
        "UPDATE core.attempts SET trade_id = $1, number = number + 100, state = 'unknown', "
        "filled_units = NULL WHERE trade_id = $2",
        second,
        first,
    )
    await connection.execute(
        "DELETE FROM core.resolutions WHERE pending_id = "
        "(SELECT hold_id FROM core.trades WHERE id = $1)",
        third,
    )
    await connection.execute(
        "UPDATE core.accounts SET credits_posted = credits_posted + 1 WHERE kind = 'customer'"
    )
    await connection.close()
    client = await nats.connect(aftermath.nats_url)
    await client.jetstream().purge_stream(STREAM)
    await client.close()
    return History(deposits=history.deposits[1:], trades=history.trades)
