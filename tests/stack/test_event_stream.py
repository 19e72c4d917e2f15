"""A server that dies in mid-stream costs its readers nothing but another stream."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from app.stack.ports import Ports
from app.stack.process import Child
from reli.event.v1 import event_pb2
from reli.event.v1 import event_service_pb2 as pb
from tests.support.event_log import sequencing
from tests.support.platform import Client, Platform
from tests.support.stack import running
from tests.support.stage import until

WITHIN_S: Final = 20.0


def a_server(platform: Platform, home: Path, port: int) -> Child:
    """One more server on the platform's database."""
    child = Child(
        name="serve",
        argv=[sys.executable, "-P", "-m", "app", "serve"],
        log=home / "serve.log",
        env={key: value for key, value in os.environ.items() if not key.startswith("RELI_")}
        | {"RELI_DATABASE_URL": platform.settings.database_url, "RELI_GRPC_PORT": str(port)},
        death_signal=signal.SIGTERM,
    )
    child.start()
    return child


async def heard(stream: Any, events: list[event_pb2.Event], number: int) -> None:
    """Read until so many events were heard in all, or raise what ended the stream."""
    async with asyncio.timeout(WITHIN_S):
        while len(events) < number:
            message = await stream.read()
            if not isinstance(message, pb.StreamEventsResponse):
                raise EOFError(await stream.code())
            assert not message.HasField("end"), "a process that is killed says nothing"
            if message.HasField("event"):
                events.append(message.event)


async def test_a_reader_goes_on_at_another_server_where_it_stood(
    platform: Platform, tmp_path: Path
) -> None:
    _, client = await platform.a_tenant()
    port = Ports(None).take()
    events: list[event_pb2.Event] = []
    async with sequencing(platform):
        with running(a_server(platform, tmp_path, port)) as server:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                there = Client(channel, client.secret)

                async def is_ready() -> bool:
                    try:
                        return bool(await there.events.ListEvents(pb.ListEventsRequest()))
                    except grpc.aio.AioRpcError:
                        return False

                await until(is_ready, "the server serves")
                stream = there.events.StreamEvents(pb.StreamEventsRequest(after=0), timeout=60)
                await heard(stream, events, 2)
                await client.create_customer()
                await heard(stream, events, 3)
                server.kill()
                await client.create_customer()
                with pytest.raises((EOFError, grpc.aio.AioRpcError)):
                    await heard(stream, events, 4)
        after = events[-1].sequence
        stream = client.events.StreamEvents(pb.StreamEventsRequest(after=after), timeout=60)
        await heard(stream, events, 4)
        stream.cancel()
        page = await client.events.ListEvents(pb.ListEventsRequest())

    assert events == list(page.events)
    assert [event.sequence for event in events] == [1, 2, 3, 4]
