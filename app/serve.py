"""One gRPC server process."""

import asyncio
import logging
from typing import Final

from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer

from app.collector import settle_down
from app.container import NOTE_USES_EVERY_S, REPORT_EVERY_S
from app.process import open_process
from app.rpc.server import add_servicers, make_server
from app.settings import Settings
from app.worker.loop import run_for_ever

POOL_SIZE: Final = 17
"""One of them only listens."""
GRACE_S: Final = 5.0
LISTEN_AGAIN_S: Final = 0.5

_log = logging.getLogger("reli.serve")


async def serve(settings: Settings) -> None:
    """Serve until canceled, then stop taking calls and let those under way finish."""
    async with open_process(
        settings,
        settings.app_database_url,
        actor="serve",
        pool_size=POOL_SIZE,
        price_sources=settings.price_sources,
    ) as process:
        container, environment = process.container, process.environment
        health = HealthServicer()
        server = make_server(container.interceptor(), with_reflection=environment.is_sandbox)
        add_servicers(server, [*container.servicers(), health])
        port = server.add_insecure_port(f"{settings.grpc_host}:{settings.grpc_port}")
        await server.start()
        clock = container.clock()
        beside_the_calls = [
            asyncio.create_task(run_for_ever(name, clock, work, rest_s=rest_s))
            for name, work, rest_s in (
                ("LP outcomes", container.report_outcomes(), REPORT_EVERY_S),
                ("event wakes", container.event_wakes().listen, LISTEN_AGAIN_S),
                ("key uses", container.note_key_uses(), NOTE_USES_EVERY_S),
            )
        ]
        settle_down()
        await health.set("", health_pb2.HealthCheckResponse.SERVING)
        _log.info("serving gRPC on %s:%d", settings.grpc_host, port)
        try:
            await asyncio.Event().wait()
        finally:
            for task in beside_the_calls:
                task.cancel()
            await asyncio.wait(beside_the_calls)  # what they had of the database is given back
            await health.enter_graceful_shutdown()
            container.interceptor().end_streams()
            await server.stop(GRACE_S)
            async with asyncio.timeout(GRACE_S):
                await container.interceptor().drain()
                await container.runner().drain()
