"""Checkpoints, inclusion proofs and public keys."""

from base64 import urlsafe_b64encode

from adapters.wire.amount import time_message
from domain.ledger.chain import InclusionProof, SignedCheckpoint
from ports.chain import PublicKey
from reli.ledger.v1 import checkpoint_pb2


def checkpoint_message(signed: SignedCheckpoint) -> checkpoint_pb2.Checkpoint:
    checkpoint = signed.checkpoint
    return checkpoint_pb2.Checkpoint(
        number=checkpoint.number,
        entries=checkpoint.entries,
        chain_hash=checkpoint.chain_hash,
        root=checkpoint.root,
        previous=checkpoint.previous,
        make_time=time_message(checkpoint.made_at),
        key_id=checkpoint.key_id,
        signed_text=checkpoint.signed_text().decode(),
        signature=signed.signature,
    )


def inclusion_proof_message(proof: InclusionProof) -> checkpoint_pb2.InclusionProof:
    return checkpoint_pb2.InclusionProof(
        entry_id=str(proof.entry_id),
        position=proof.position,
        entry_text=proof.canonical.decode(),
        leaf=proof.leaf,
        path=proof.path,
        checkpoint=checkpoint_message(proof.checkpoint),
    )


def json_web_key_message(key: PublicKey) -> checkpoint_pb2.JsonWebKey:
    """Return the key as RFC 8037 has it."""
    x = urlsafe_b64encode(key.key).rstrip(b"=").decode()
    return checkpoint_pb2.JsonWebKey(
        kty="OKP", crv="Ed25519", x=x, kid=key.id, use="sig", alg="EdDSA"
    )
