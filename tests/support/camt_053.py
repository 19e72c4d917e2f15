"""The schema of camt.053.001.08, as ISO 20022 publishes it."""

from functools import cache
from typing import Any, Final

from lxml import etree

from tests.support.golden import ROOT

SCHEMA: Final = ROOT / "tests" / "support" / "schemas" / "camt.053.001.08.xsd"


def assert_valid(content: bytes) -> Any:
    """Return the document, which the schema accepts."""
    document = etree.fromstring(content, _parser())
    _schema().assertValid(document)
    return document


@cache
def _schema() -> Any:
    return etree.XMLSchema(etree.parse(str(SCHEMA), _parser()))


def _parser() -> Any:
    return etree.XMLParser(resolve_entities=False, no_network=True)
