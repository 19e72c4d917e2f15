"""Where the descriptor sets lie: beside this file in a wheel, in `gen/` in a checkout."""

from pathlib import Path


def descriptor_set_path() -> Path:
    return _path("reli.binpb")


def commented_set_path() -> Path:
    """The same set with the comments of the contract."""
    return _path("reli_commented.binpb")


def _path(name: str) -> Path:
    packaged = Path(__file__).with_name(name)
    if packaged.exists():
        return packaged
    return Path(__file__).parents[2] / "gen" / name
