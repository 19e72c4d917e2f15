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
    least_rest_s: float | None = None,
    outages: Outages | None = None,
) -> None:
    """Call `work` until canceled; it says whether there may be more to do at once.

    Work that others wait for rests for less than `rest_s`, down to `least_rest_s`, while it takes
    no more than a tenth of the time. Loops that share `outages` tell together what they wait for.
    """
    outages = outages or Outages(clock)
    while True:
        began_at = clock.monotonic()
        try:
            has_more = await work()
        except Exception as error:
            has_more = False
            outages.failed(name, error)
        else:
            outages.worked(name)
        if not has_more:
            took_s = clock.monotonic() - began_at
            least_s = rest_s if least_rest_s is None else least_rest_s
            await clock.sleep(min(rest_s, max(least_s, 9 * took_s)))
