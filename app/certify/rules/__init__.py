"""The rules that every adapter keeps; each is one promise of `ports/liquidity.py`, or of
`StatementListing` in `ports/reconciliation.py`.

A rule asks the adapter and compares its answer with what the venue really did. It looks at one
promise only, so that an adapter that breaks one fails one.
"""

from typing import Final

from app.certify.rules import execution, price, signature, state, statement
from app.certify.rules.rule import Rule

RULES: Final[tuple[Rule, ...]] = (
    *price.RULES.listed,
    *signature.RULES.listed,
    *execution.RULES.listed,
    *state.RULES.listed,
    *statement.RULES.listed,
)
