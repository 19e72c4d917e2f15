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
from adapters.postgres.environment import await_environment
from adapters.system.clock import SystemClock
from app.collector import settle_down
from app.container import Container
from app.rpc.server import add_servicers, make_server
from app.settings import Settings

POOL_SIZE: Final = 16
GRACE_S: Final = 5.0

_log = logging.getLogger("reli.serve")


async def serve(settings: Settings) -> None:
    """Serve until canceled, then stop taking calls and let those under way finish."""
    async with AsyncExitStack() as stack:
        engine = make_engine(settings.app_database_url, pool_size=POOL_SIZE, name="reli serve")
        stack.push_async_callback(engine.dispose)
        environment = await await_environment(engine, SystemClock())
        container = Container(
            settings=providers.Object(settings),
            engine=providers.Object(engine),
            house_id=providers.Object(environment.house_id),
            lp_sessions=providers.Object(await stack.enter_async_context(open_lp_sessions())),
            actor=providers.Object("serve"),
        )
        health = HealthServicer()
        server = make_server(container.interceptor(), with_reflection=environment.is_sandbox)
        add_servicers(server, [*container.servicers(), health])
        port = server.add_insecure_port(f"{settings.grpc_host}:{settings.grpc_port}")
        await server.start()
        settle_down()
        await health.set("", health_pb2.HealthCheckResponse.SERVING)
        _log.info("serving gRPC on %s:%d", settings.grpc_host, port)
        try:
            await asyncio.Event().wait()
        finally:
            await health.enter_graceful_shutdown()
            await server.stop(GRACE_S)
            async with asyncio.timeout(GRACE_S):
                await container.interceptor().drain()
                await container.runner().drain()
