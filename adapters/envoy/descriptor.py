"""Where the descriptor set lies: beside this file in a wheel, in `gen/` in a checkout."""

from pathlib import Path

_NAME = "reli.binpb"


def descriptor_set_path() -> Path:
    packaged = Path(__file__).with_name(_NAME)
    if packaged.exists():
        return packaged
    return Path(__file__).parents[2] / "gen" / _NAME
