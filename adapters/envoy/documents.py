"""Files that the front door hands out itself, to everybody: they need nobody behind it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DOCUMENT_BYTES_MAX: Final = 8 * 1024 * 1024

_HEADERS: Final = {
    "referrer-policy": "no-referrer",
    # Everything comes from here, whatever the page's scripts would like. They write styles.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'"
        " data:; img-src 'self' data: blob:; connect-src 'self'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file of at most `DOCUMENT_BYTES_MAX` at a path."""

    path: str
    media_type: str
    file: Path


def document_routes(documents: Iterable[Document]) -> Iterator[dict[str, Any]]:
    """Yield a route for each, without what makes a gRPC call of a request."""
    for document in documents:
        headers = {"content-type": document.media_type, **_HEADERS}
        yield {
            "match": {
                "path": document.path,
                "headers": [{"name": ":method", "string_match": {"exact": "GET"}}],
            },
            "direct_response": {"status": 200, "body": {"filename": str(document.file)}},
            "response_headers_to_add": [
                {
                    "header": {"key": key, "value": value},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }
                for key, value in headers.items()
            ],
        }
