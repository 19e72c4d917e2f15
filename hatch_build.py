"""Stubs and the descriptor set are made from `proto/` whenever Reli is built or set up.

Run as a script (`make proto`) it refreshes `gen/` in a checkout; as a hatch hook it puts
the result into the wheel, so that a plain `pip install .` needs no further tool.
"""

import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc  # type: ignore[import-untyped]
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

DESCRIPTOR_SET = "reli.binpb"
# The same with the contract's comments, from which its documentation is made.
COMMENTED_SET = "reli_commented.binpb"
# Envoy prints an error's details as JSON only if it knows their types.
ERROR_DETAILS = ["google/rpc/error_details.proto", "google/rpc/status.proto"]


class StubsBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        gen = generate(root)
        if version == "editable":
            return  # `gen` is on the path by way of dev-mode-dirs
        build_data["force_include"][str(gen / "reli")] = "reli"
        for name in (DESCRIPTOR_SET, COMMENTED_SET):
            build_data["force_include"][str(gen / name)] = f"adapters/envoy/{name}"


def generate(root: Path) -> Path:
    """Replace `gen/` by what `proto/` says now and return it."""
    gen = root / "gen"
    # Built aside and swapped in: a running process never imports half of the stubs.
    with tempfile.TemporaryDirectory(prefix=".gen-", dir=root) as scratch:
        fresh = Path(scratch, "gen")
        _compile(root / "proto", fresh)
        if gen.exists():
            gen.rename(Path(scratch, "old"))
        fresh.rename(gen)
    return gen


def _compile(proto: Path, gen: Path) -> None:
    gen.mkdir()
    ours = sorted(str(path.relative_to(proto)) for path in proto.rglob("*.proto"))
    google_apis, well_known = _package_root("google.rpc"), _package_root("grpc_tools")
    includes = [f"-I{proto}", f"-I{google_apis}", f"-I{well_known / 'grpc_tools' / '_proto'}"]
    outputs = [f"--{kind}_out={gen}" for kind in ("python", "pyi", "grpc_python")]
    _protoc(*includes, *outputs, *ours)
    for name, *options in ((DESCRIPTOR_SET,), (COMMENTED_SET, "--include_source_info")):
        _protoc(
            *includes,
            f"--descriptor_set_out={gen / name}",
            "--include_imports",
            *options,
            *ours,
            *ERROR_DETAILS,
        )
    # buf resolves imports only inside its workspace, and never over the network here.
    for file in FileDescriptorSet.FromString((gen / DESCRIPTOR_SET).read_bytes()).file:
        if file.name.startswith("google/") and not file.name.startswith("google/protobuf/"):
            target = gen / "googleapis" / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(google_apis / file.name, target)


def _protoc(*arguments: str) -> None:
    if protoc.main(["protoc", *arguments]) != 0:
        raise SystemExit("protoc refused proto/: see the messages above")


def _package_root(name: str) -> Path:
    """The directory that holds the dotted package `name`."""
    spec = find_spec(name)
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]).parents[name.count(".")]


if __name__ == "__main__":
    generate(Path(__file__).parent)
