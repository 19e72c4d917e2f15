"""A worker's loop: work while there is some, rest when there is none, survive what goes wrong."""

from collections.abc import Awaitable, Callable

from app.worker.outage import Outages
from ports.clock import Clock


async def run_for_ever(
    name: str,
    clock: Clock,
    work: Callable[[], Awaitable[bool]],
    *,
    rest_s: float,
    outages: Outages | None = None,
) -> None:
    """Call `work` until canceled; it says whether there may be more to do at once.

    Loops that share `outages` tell together what they wait for.
    """
    outages = outages or Outages(clock)
    while True:
        try:
            has_more = await work()
        except Exception as error:
            has_more = False
            outages.failed(name, error)
        else:
            outages.worked(name)
        if not has_more:
            await clock.sleep(rest_s)
