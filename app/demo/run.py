"""Starts a stack, tells the story on it, and leaves nothing behind."""

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import aiohttp
from rich.console import Console
from rich.markup import escape

from adapters.system.clock import SystemClock
from app.demo.expectation import Unmet
from app.demo.partner import Json
from app.demo.screen import Screen
from app.demo.story import Story
from app.stack.process import StackFailure
from app.stack.stack import ReadyStack, Stack, StackOptions

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TIMEOUT_S = 30.0


def run(*, as_json: bool = False) -> bool:
    """Tell the story and return whether it went as it must; a signal is `KeyboardInterrupt`."""
    clock = SystemClock()
    began = clock.monotonic()
    screen = None if as_json else Screen()
    document: Json = {}
    failure = ""
    _on_stop_signals(signal.default_int_handler)
    try:
        with _stack(screen) as ready:
            document |= asyncio.run(_tell(ready, screen))
    except (Unmet, StackFailure, aiohttp.ClientError, TimeoutError) as e:
        failure = str(e) or type(e).__name__
    seconds = clock.monotonic() - began
    if screen is None:
        document |= {"succeeded": not failure, "seconds": round(seconds, 1)}
        if failure:
            document["failure"] = failure
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    elif not failure:
        screen.end(len(document["expectations"]), seconds)
    if failure:
        Console(stderr=True, highlight=False).print(f"[red]✗[/] {escape(failure)}")
    return not failure


async def _tell(ready: ReadyStack, screen: Screen | None) -> Json:
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        story = Story(ready, session)
        document: Json = {}
        async for chapter in story.chapters():
            document[chapter.name] = chapter.facts
            if screen is not None:
                screen.tell(chapter)
    return document | {"expectations": story.expect.held}


@contextmanager
def _stack(screen: Screen | None) -> Iterator[ReadyStack]:
    on_started = screen.part_started if screen is not None else _say_nothing
    with TemporaryDirectory(prefix="reli-demo-") as directory:
        options = StackOptions(home=Path(directory, "home"))
        with Stack(options, on_started=on_started) as stack:
            try:
                with screen.starting() if screen is not None else nullcontext():
                    ready = stack.start()
                yield ready
            finally:
                # The parts are stopped in order; impatience must not cut it short.
                _on_stop_signals(signal.SIG_IGN)


def _say_nothing(part: str, seconds: float) -> None:
    pass


def _on_stop_signals(action: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    for number in _STOP_SIGNALS:
        # Under `nohup` a hang-up is to be ignored.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, action)
