"""Whatever comes over the wire, the servers stay up and answer the next call."""

from app.stack.stack import ReadyStack
from tests.wire_fuzz.attacks import ATTACKS
from tests.wire_fuzz.run import fuzz

SECONDS = 6.0
SEED = 7


async def test_no_bytes_bring_a_server_down(running_stack: ReadyStack) -> None:
    report = await fuzz(running_stack, seconds=SECONDS, seed=SEED)

    assert report.violations == []
    assert report.attacks.keys() == {one.__name__ for one in ATTACKS}
    assert report.honest >= 4
