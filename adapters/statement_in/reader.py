"""Reading a file in any of its formats."""

import codecs
import re
from collections.abc import Callable, Mapping
from typing import Final

from adapters.statement_in.camt_053 import parse_camt053
from adapters.statement_in.csv_file import parse_csv
from adapters.statement_in.json_file import parse_json
from domain.asset import Asset
from domain.reconciliation.errors import (
    StatementEncodingInvalid,
    StatementMalformed,
    StatementTooLarge,
)
from domain.reconciliation.statement import (
    MAX_STATEMENT_BYTES,
    ParsedStatement,
    StatementFormat,
)
from ports.reconciliation import StatementReader

_PARSE: Final[Mapping[StatementFormat, Callable[[str, Mapping[str, Asset]], ParsedStatement]]] = {
    StatementFormat.JSON: parse_json,
    StatementFormat.CSV: parse_csv,
    StatementFormat.CAMT053: parse_camt053,
}
_DECLARED: Final = re.compile(r"<\?xml[^>]*\bencoding\s*=\s*[\"']([^\"']*)[\"']")


class FileReader(StatementReader):
    """Reads UTF-8, which all three formats are in."""

    def read(
        self, format: StatementFormat, content: bytes, assets: Mapping[str, Asset]
    ) -> ParsedStatement:
        if len(content) > MAX_STATEMENT_BYTES:
            raise StatementTooLarge(
                f"a statement has at most {MAX_STATEMENT_BYTES} bytes", limit=MAX_STATEMENT_BYTES
            )
        text = _decoded(content)
        if not text.strip():
            raise StatementMalformed("the file is empty", place="line 1")
        return _PARSE[format](text, assets)


def _decoded(content: bytes) -> str:
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        place = f"line {content[: error.start].count(10) + 1}"
        raise StatementEncodingInvalid(f"{place} is not UTF-8", place=place) from error
    if "\0" in text:
        raise StatementEncodingInvalid("the file is not UTF-8: it has zero bytes", place="line 1")
    declared = _DECLARED.match(text)
    if declared and declared[1].lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise StatementEncodingInvalid(
            f"the file says that it is {declared[1][:40]!r}, not UTF-8", place="line 1"
        )
    return text
