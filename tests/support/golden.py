"""Files that a test writes and a person reads: `make golden` rewrites them, review reads them."""

import os
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
GOLDEN: Final = ROOT / "tests" / "golden"
REWRITES: Final = os.environ.get("RELI_GOLDEN") == "write"


def assert_golden(path: Path, text: str) -> None:
    """Assert that the file says exactly `text`; with RELI_GOLDEN=write, make it so."""
    if REWRITES:
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, (
        f"{path.relative_to(ROOT)} is out of date: run `make golden` and read the difference"
    )
