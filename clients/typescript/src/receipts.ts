import { createHash, createPublicKey, verify } from "node:crypto";
import { isDeepStrictEqual } from "node:util";

import type { Timestamp } from "@bufbuild/protobuf/wkt";

import type { TradeReceipt } from "../gen/reli/trade/v1/receipt_pb.js";
import { TradeState } from "../gen/reli/trade/v1/trade_pb.js";
import type { Amount } from "../gen/reli/type/v1/amount_pb.js";
import { Side } from "../gen/reli/type/v1/side_pb.js";

/** A public key of the platform, as GetSigningKeys and /.well-known/jwks.json tell it. */
export interface PublicKey {
  readonly kty: string;
  readonly crv: string;
  /** The key, base64url without padding. */
  readonly x: string;
}

/** A receipt proves nothing: it was changed, or is not of the platform. */
export class ReceiptInvalid extends Error {
  override readonly name = "ReceiptInvalid";
}

/**
 * Checks that the platform signed a receipt, that its fields say what was signed, and that the
 * evidence is the one it names; docs/books.md has the rules. Who trusts the keys trusts the receipt.
 *
 * @param keys The platform's public keys, fetched by whoever checks.
 * @param evidence `content` of the trade's evidence; without it only the receipt is checked.
 * @throws ReceiptInvalid if anything does not hold.
 */
export function verifyReceipt(receipt: TradeReceipt, keys: readonly PublicKey[], evidence?: Uint8Array): void {
  const key = keys.find((one) => thumbprint(one) === receipt.keyId);
  if (key === undefined) {
    throw new ReceiptInvalid("the key that it names is none of the platform's");
  }
  if (!isSigned(receipt, key)) {
    throw new ReceiptInvalid("the signature is not over the content");
  }
  const said = JSON.parse(Buffer.from(receipt.content).toString("utf8")) as Record<string, unknown>;
  for (const [name, value] of Object.entries(contentOf(receipt))) {
    if (!isDeepStrictEqual(said[name], value)) {
      throw new ReceiptInvalid(`${name} is not what was signed`);
    }
  }
  if (evidence !== undefined && sha256(evidence).compare(receipt.evidenceDigest) !== 0) {
    throw new ReceiptInvalid("the evidence is not the one that it names");
  }
}

/** RFC 7638: SHA-256 of the members that make the key, in the order of their names. */
function thumbprint({ crv, kty, x }: PublicKey): string {
  return sha256(Buffer.from(JSON.stringify({ crv, kty, x }))).toString("base64url");
}

function isSigned({ content, signature }: TradeReceipt, { kty, crv, x }: PublicKey): boolean {
  try {
    const key = createPublicKey({ key: { kty, crv, x }, format: "jwk" });
    return key.asymmetricKeyType === "ed25519" && verify(null, content, key, signature);
  } catch {
    throw new ReceiptInvalid("the key that it names is no key of Ed25519");
  }
}

/** What the content must say of the receipt's fields; the tenant is in the content alone. */
function contentOf(receipt: TradeReceipt): Record<string, unknown> {
  return {
    accepted_at: instant(receipt.acceptTime),
    base: amount(receipt.baseAmount),
    customer_id: receipt.customerId,
    ended_at: instant(receipt.endTime),
    evidence_digest: Buffer.from(receipt.evidenceDigest).toString("hex"),
    expires_at: instant(receipt.expireTime),
    final_entry_id: receipt.finalEntryId,
    hold_entry_id: receipt.holdEntryId,
    instrument: receipt.instrument,
    key_id: receipt.keyId,
    paid: amount(receipt.paidAmount),
    quote: amount(receipt.quoteAmount),
    quote_id: receipt.quoteId,
    quoted_at: instant(receipt.quoteTime),
    received: amount(receipt.receivedAmount),
    rejection_reason: receipt.rejectionReason,
    side: Side[receipt.side]?.toLowerCase(),
    state: TradeState[receipt.state]?.toLowerCase(),
    trade_id: receipt.tradeId,
    type: "reli.receipt.v1",
  };
}

function amount(said: Amount | undefined): { asset: string; value: string } | null {
  return said === undefined ? null : { asset: said.asset, value: said.value };
}

/** RFC 3339 in UTC with six digits, as every time in signed content; more only where there are more. */
function instant(time: Timestamp | undefined): string | null {
  if (time === undefined) {
    return null;
  }
  const fraction = String(time.nanos).padStart(9, "0").replace(/000$/, "");
  const seconds = new Date(Number(time.seconds) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${fraction}Z`;
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}
