"""What exists in a sandbox only."""

from adapters.wire.amount import amount_message, time_message
from ports.sandbox import Deposit
from reli.sandbox.v1 import deposit_pb2


def deposit_message(deposit: Deposit) -> deposit_pb2.Deposit:
    return deposit_pb2.Deposit(
        id=str(deposit.id),
        customer_id=str(deposit.party.customer_id or ""),
        amount=amount_message(deposit.amount),
        entry_id=str(deposit.entry_id),
        create_time=time_message(deposit.created_at),
    )
