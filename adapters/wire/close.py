"""Daily closes."""

import json
from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToJson

from adapters.wire.amount import time_message
from adapters.wire.ledger import account_kind_message
from domain.ledger.account import AccountKind
from domain.ledger.close import DailyClose
from reli.ledger.v1 import daily_close_pb2, ledger_pb2
from reli.ledger.v1 import statement_service_pb2 as pb
from reli.type.v1 import amount_pb2


def daily_close_message(close: DailyClose) -> daily_close_pb2.DailyClose:
    """Return what the content of a close says, and the content."""
    content = json.loads(close.content)
    return daily_close_pb2.DailyClose(
        day=content["day"],
        close_time=time_message(close.closed_at),
        trial_balance=map(_trial_balance_line, content["trial_balance"]),
        fees=[_amount(one, "value") for one in content["fees"]],
        markups=[_amount(one, "value") for one in content["markups"]],
        positions=[
            daily_close_pb2.Position(
                kind=_kind(one), owner=one["owner"], amount=_amount(one, "value")
            )
            for one in content["positions"]
        ],
        accounts=content["accounts"],
        transfers=content["transfers"],
        content=close.content,
        digest=close.digest,
        key_id=close.key_id,
        signature=close.signature,
    )


def daily_close_answer(close: DailyClose) -> str:
    """Return what GetDailyClose answers, as JSON."""
    answer = pb.GetDailyCloseResponse(close=daily_close_message(close))
    return MessageToJson(answer, preserving_proto_field_name=True)


def _trial_balance_line(one: Mapping[str, Any]) -> daily_close_pb2.TrialBalanceLine:
    return daily_close_pb2.TrialBalanceLine(
        kind=_kind(one),
        opening=_amount(one, "opening"),
        debits=_amount(one, "debits"),
        credits=_amount(one, "credits"),
        closing=_amount(one, "closing"),
        accounts=one["accounts"],
        lines=one["lines"],
    )


def _kind(one: Mapping[str, Any]) -> ledger_pb2.AccountKind:
    return account_kind_message(AccountKind(one["kind"]))


def _amount(one: Mapping[str, Any], name: str) -> amount_pb2.Amount:
    return amount_pb2.Amount(value=one[name], asset=one["asset"])
