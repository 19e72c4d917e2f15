"""What a serving and a working process have in common: a database role, and all that runs on it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from dependency_injector import providers
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.ccxt.prices import open_ccxt_prices
from adapters.lp.http import open_lp_sessions
from adapters.postgres.engine import make_engine
from adapters.postgres.environment import Environment, await_environment
from adapters.system.clock import SystemClock
from app.container import Container
from app.liquidity import ccxt_configs
from app.settings import PriceSourceSettings, Settings


@dataclass(frozen=True, slots=True)
class Process:
    """One process's own connections and everything wired to them."""

    engine: AsyncEngine
    environment: Environment
    container: Container


@asynccontextmanager
async def open_process(
    settings: Settings,
    database_url: str,
    *,
    actor: str,
    pool_size: int,
    price_sources: tuple[PriceSourceSettings, ...] = (),
) -> AsyncIterator[Process]:
    """Open what a process needs; waits for a database that is not there yet.

    Only who is asked for prices that nobody promises needs price sources.
    """
    async with AsyncExitStack() as stack:
        engine = make_engine(database_url, pool_size=pool_size, name=f"reli {actor}")
        stack.push_async_callback(engine.dispose)
        environment = await await_environment(engine, SystemClock())
        container = Container(
            settings=providers.Object(settings),
            engine=providers.Object(engine),
            house_id=providers.Object(environment.house_id),
            lp_sessions=providers.Object(await stack.enter_async_context(open_lp_sessions())),
            actor=providers.Object(actor),
            price_sources=providers.Object(
                await stack.enter_async_context(
                    open_ccxt_prices(ccxt_configs(price_sources), SystemClock())
                )
            ),
            is_sandbox=providers.Object(environment.is_sandbox),
        )
        yield Process(engine, environment, container)
