"""A code is a verdict where it refuses a confirmation, and nowhere else."""

from pathlib import Path

import pytest

from adapters.lp.bybit.parse import VERDICTS
from app.certify.bench import open_bench
from app.certify.subject import SUBJECTS
from app.certify.wire import page, raw
from domain.trade.outcome import ORDER_WORKING, Filled, Rejected, Unknown


def refusal(code: str) -> bytes:
    return page(200, f'{{"retCode": {code}, "retMsg": "no", "result": {{}}}}'.encode())


@pytest.mark.parametrize("code", sorted(VERDICTS))
async def test_a_confirmation_that_is_refused_with_a_verdict_is_a_rejection(
    tmp_path: Path, code: str
) -> None:
    async with open_bench(SUBJECTS["bybit"], tmp_path) as bench:
        quote, attempt = await bench.a_quote(), bench.an_attempt()
        with bench.wire.saying(raw(refusal(code))):
            outcome = await bench.execute(quote, attempt)

    assert isinstance(outcome, Rejected)
    assert outcome.reason == f"LP_{code}"
    assert outcome.lp_quote_expired is (code == "700008")


@pytest.mark.parametrize("code", sorted(VERDICTS))
async def test_a_state_that_is_refused_with_such_a_code_leaves_an_accepted_order_unknown(
    tmp_path: Path, code: str
) -> None:
    async with open_bench(SUBJECTS["bybit"], tmp_path) as bench:
        quote, attempt = await bench.a_quote(), bench.an_attempt()
        with bench.wire.saying(raw(refusal(code)), after=1):
            outcome = await bench.execute(quote, attempt)
        status = await bench.status(quote, attempt)

    assert isinstance(outcome, Unknown)
    assert outcome.reason == ORDER_WORKING
    assert code in outcome.evidence
    assert isinstance(status, Filled)
