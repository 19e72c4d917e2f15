"""Sheets of liabilities, and proofs."""

from adapters.wire.amount import amount_message, time_message
from domain.ledger.liability import LiabilityProof, SignedSheet
from reli.ledger.v1 import liability_pb2


def liability_proof_message(proof: LiabilityProof) -> liability_pb2.LiabilityProof:
    return liability_pb2.LiabilityProof(
        customer_id=str(proof.customer_id),
        position=proof.position,
        leaf_text=proof.leaf.decode(),
        path=[
            liability_pb2.LiabilityNode(hash=node.hash, units=str(node.units))
            for node in proof.path
        ],
        sheet=_sheet_message(proof.sheet),
    )


def _sheet_message(signed: SignedSheet) -> liability_pb2.LiabilitySheet:
    sheet = signed.sheet
    return liability_pb2.LiabilitySheet(
        number=sheet.number,
        as_of_time=time_message(sheet.as_of),
        checkpoint_number=sheet.checkpoint,
        customers=sheet.customers,
        total=amount_message(sheet.total),
        root=sheet.root,
        key_id=sheet.key_id,
        signed_text=sheet.signed_text().decode(),
        signature=signed.signature,
    )
