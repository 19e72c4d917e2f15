"""What the command line is before any command runs: quick, sorted for whom it is, and helpful."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from app.__main__ import cli
from app.partner.profile import Profile, profile_file
from tests.support.command import Command


@pytest.fixture
def reli(tmp_path: Path) -> Command:
    with profile_file({"XDG_CONFIG_HOME": str(tmp_path)}).changing() as change:
        for name, codes in (("live", ("BTC-NGN", "ETH-NGN")), ("sandbox", ("BTC-KES",))):
            profile = Profile(
                name=name, url="http://127.0.0.1:1", api_key=f"reli_{name}", instruments=codes
            )
            change.profiles = change.profiles.put(profile)
    return Command(home=tmp_path)


def completed(reli: Command, *words: str) -> set[str]:
    """Return what bash offers for the last word."""
    said = subprocess.run(
        ["reli"],
        executable=str(Path(sys.executable).parent / "reli"),
        env=reli.env
        | {
            "_RELI_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(["reli", *words]),
            "COMP_CWORD": str(len(words)),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(said.stdout.split())


def test_tab_offers_commands_instruments_sides_and_profiles(reli: Command) -> None:
    assert completed(reli, "quo") == {"quote"}
    assert completed(reli, "webhook", "") == {"listen"}
    assert completed(reli, "quote", "B") == {"BTC-KES"}
    assert completed(reli, "quote", "b") == {"btc-kes"}
    assert completed(reli, "quote", "btc-kes", "") == {"buy", "sell"}
    assert completed(reli, "use", "") == {"live", "sandbox"}
    assert completed(reli, "balances", "--profile", "l") == {"live"}


def test_tab_offers_nothing_where_the_profiles_cannot_be_read(reli: Command) -> None:
    reli.profiles.write_text("{")

    assert completed(reli, "quote", "b") == set()
    assert completed(reli, "use", "") == set()


def test_the_shell_is_told_how_to_complete(reli: Command) -> None:
    # Which shell that is would be found out from the processes above this one.
    shown = subprocess.run(
        ["bash", "-c", f"{Path(sys.executable).parent}/reli --show-completion; true"],
        env=reli.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert "_RELI_COMPLETE=complete_bash" in shown.stdout


def test_help_loads_neither_the_platform_nor_the_client() -> None:
    script = (
        "import sys; import app.__main__, json;"
        "json.dump(sorted({name.partition('.')[0] for name in sys.modules}), sys.stdout)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )

    heavy = {"grpc", "google", "cryptography", "reli_client", "sqlalchemy", "pydantic", "aiohttp"}
    assert set(json.loads(loaded.stdout)) & heavy == set()


def test_every_command_says_for_whom_it_is() -> None:
    commands = typer.main.get_command(cli).commands  # type: ignore[attr-defined]

    assert {command.rich_help_panel for command in commands.values()} == {
        "For partners",
        "For operators",
        "To run the platform",
    }
