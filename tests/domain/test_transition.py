"""Life cycles as tables."""

from enum import StrEnum

import pytest

from domain.errors import IllegalTransition, Kind, Retry
from domain.transition import advance


class Light(StrEnum):
    RED = "red"
    GREEN = "green"


class Press(StrEnum):
    GO = "go"
    STOP = "stop"


TABLE = {(Light.RED, Press.GO): Light.GREEN, (Light.GREEN, Press.STOP): Light.RED}


def test_a_pair_in_the_table_gives_the_next_state() -> None:
    assert advance(TABLE, Light.RED, Press.GO) is Light.GREEN
    assert advance(TABLE, Light.GREEN, Press.STOP) is Light.RED


@pytest.mark.parametrize(("state", "action"), [(Light.RED, Press.STOP), (Light.GREEN, Press.GO)])
def test_any_other_pair_is_refused_by_name(state: Light, action: Press) -> None:
    with pytest.raises(IllegalTransition) as caught:
        advance(TABLE, state, action)

    assert caught.value.message == f"cannot {action} what is {state}"
    assert caught.value.metadata == {"state": state, "action": action}
    assert (caught.value.kind, caught.value.retry) == (Kind.REFUSED, Retry.NEVER)
    assert caught.value.__suppress_context__
