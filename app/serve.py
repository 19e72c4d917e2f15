"""One gRPC server process."""

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import Final

from dependency_injector import providers
from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer

from adapters.lp.sandbox.client import open_lp_sessions
from adapters.postgres.engine import make_engine
from adapters.postgres.environment import read_environment
from app.container import Container
from app.rpc.server import make_server
from app.settings import Settings

POOL_SIZE: Final = 20
GRACE_S: Final = 5.0

_log = logging.getLogger("reli.serve")


async def serve(settings: Settings) -> None:
    """Serve until canceled, then stop taking calls and let those under way finish."""
    async with AsyncExitStack() as stack:
        engine = make_engine(settings.app_database_url, pool_size=POOL_SIZE, name="reli serve")
        stack.push_async_callback(engine.dispose)
        environment = await read_environment(engine)
        container = Container(
            settings=providers.Object(settings),
            engine=providers.Object(engine),
            house_id=providers.Object(environment.house_id),
            lp_sessions=providers.Object(await stack.enter_async_context(open_lp_sessions())),
            actor=providers.Object("serve"),
        )
        servicers = [
            container.tenant_servicer(),
            container.tenant_admin_servicer(),
            container.api_key_servicer(),
            container.customer_servicer(),
            container.market_servicer(),
            container.quote_servicer(),
            container.trade_servicer(),
            container.ledger_servicer(),
            container.ledger_admin_servicer(),
            container.sandbox_servicer(),
        ]
        status = HealthServicer()
        server = make_server(
            container.interceptor(), servicers, status, with_reflection=environment.is_sandbox
        )
        port = server.add_insecure_port(f"{settings.grpc_host}:{settings.grpc_port}")
        await server.start()
        await status.set("", health_pb2.HealthCheckResponse.SERVING)
        _log.info("serving gRPC on %s:%d", settings.grpc_host, port)
        try:
            await asyncio.Event().wait()
        finally:
            await status.enter_graceful_shutdown()
            await server.stop(GRACE_S)
            async with asyncio.timeout(GRACE_S):
                await container.interceptor().drain()
                await container.runner().drain()
