"""Layers: who may import whom, as the contracts in `pyproject.toml` say."""

import subprocess
import sys
import tomllib

from tests.support.golden import ROOT

CONTRACTS = {
    "layers",
    "use cases know no technology",
    "the core knows no technology",
    "only wiring picks adapters",
    "slices meet only in use cases",
    "generated code stays at the rim",
    "the client stands alone",
    "only commands use the client",
    "a partner's commands load nothing of the platform",
}


def test_every_import_keeps_the_contracts() -> None:
    # A process of its own: the linter builds its graph from a clean interpreter.
    linter = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
            "--no-logo",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert linter.returncode == 0, linter.stdout + linter.stderr
    assert f"{len(CONTRACTS)} kept, 0 broken" in linter.stdout


def test_no_contract_was_dropped() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    linter = project["tool"]["importlinter"]

    assert {contract["name"] for contract in linter["contracts"]} >= CONTRACTS
    assert linter["root_packages"] == ["domain", "ports", "adapters", "app", "reli_client"]
    assert not any("ignore_imports" in contract for contract in linter["contracts"])
