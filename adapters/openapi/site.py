"""The documentation as files: the documents, the page that shows them, and its viewer."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from adapters.envoy.documents import Document
from adapters.openapi.document import openapi_document

_HERE: Final = Path(__file__).parent
_JSON: Final = "application/json"
_SCRIPT: Final = "text/javascript; charset=utf-8"


def write_site(directory: Path, commented_set: bytes) -> tuple[Document, ...]:
    """Write what is made from the contract into the directory, and return all there is to show."""
    directory.mkdir(parents=True, exist_ok=True)
    made = {"openapi.json": False, "openapi.operator.json": True}
    for name, for_operators in made.items():
        document = openapi_document(commented_set, for_operators=for_operators)
        (directory / name).write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return (
        *(Document(path=f"/{name}", media_type=_JSON, file=directory / name) for name in made),
        Document(path="/docs", media_type="text/html; charset=utf-8", file=_HERE / "docs.html"),
        Document(path="/docs/docs.js", media_type=_SCRIPT, file=_HERE / "docs.js"),
        Document(
            path="/docs/docs.css", media_type="text/css; charset=utf-8", file=_HERE / "docs.css"
        ),
        Document(path="/docs/viewer.js", media_type=_SCRIPT, file=_viewer()),
    )


def _viewer() -> Path:
    """Scalar, as its wheel carries it; nothing is fetched from elsewhere."""
    package = find_spec("offapi")
    assert package is not None and package.submodule_search_locations
    return Path(package.submodule_search_locations[0], "scalar.js")
