"""`make story`: build the clients, run their tests, tell their stories; ends with 1 if one fails.

With `--build` they are built and no more: `make clients`.
"""

import argparse
import sys
from collections.abc import Callable
from contextlib import ExitStack

from rich.console import Console
from rich.table import Table

from tests.clients.language import LANGUAGES, STORY, Language, Ran
from tests.support.stack import running_reli

OUT = Console(highlight=False, soft_wrap=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="story", description=__doc__)
    parser.add_argument("--build", action="store_true", help="only build the clients")
    is_only_built = parser.parse_args().build

    with ExitStack() as exits:
        steps: dict[str, Callable[[Language], Ran]] = {"build": Language.build}
        if not is_only_built:
            OUT.print("starting a stack", style="dim")
            stack = exits.enter_context(running_reli("--serve", "2"))
            steps["tests"] = Language.test
            steps["story"] = lambda language: language.tell(stack)
        ends = {language.name: _ends(language, steps) for language in LANGUAGES}

    table = Table("client", *steps, box=None, pad_edge=False, header_style="dim")
    for name, cells in ends.items():
        table.add_row(name, *cells)
    OUT.print(table)
    return 1 if any("failed" in cells for cells in ends.values()) else 0


def _ends(language: Language, steps: dict[str, Callable[[Language], Ran]]) -> list[str]:
    """Take the steps until one fails, and return how each ended."""
    if language.missing:
        return [f"not here: {language.missing}"]
    cells: list[str] = []
    for name, step in steps.items():
        OUT.print(f"{language}: {name}", style="dim")
        ran = step(language)
        is_well = ran.is_well and (name != "story" or ran.printed == STORY)
        cells.append(f"{ran.seconds:.1f} s" if is_well else "failed")
        if not is_well:
            OUT.print(ran.printed + ran.complained, markup=False)
            break
    return cells


if __name__ == "__main__":
    sys.exit(main())
