import assert from "node:assert/strict";
import { createPrivateKey, sign } from "node:crypto";
import { test } from "node:test";

import { create, fromJson, type JsonObject } from "@bufbuild/protobuf";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";

import { type TradeReceipt, TradeReceiptSchema } from "../gen/reli/trade/v1/receipt_pb.js";
import { TradeState } from "../gen/reli/trade/v1/trade_pb.js";
import { AmountSchema } from "../gen/reli/type/v1/amount_pb.js";
import { Side } from "../gen/reli/type/v1/side_pb.js";
import { type PublicKey, ReceiptInvalid, verifyReceipt } from "../src/receipts.js";
import { repositoryFile } from "./support.js";

/** The example of docs/books.md: its key set, and a receipt that names the evidence `{}`. */
const { keys } = documented("jwks") as unknown as { keys: PublicKey[] };
const example = documented("receipt")["receipt"] as JsonObject;
const evidence = Buffer.from("{}");

function documented(what: string): JsonObject {
  const block = new RegExp(`^\`\`\`json ${what}\n(.*)\n\`\`\`$`, "m").exec(repositoryFile("docs/books.md"));
  return JSON.parse(block![1]!) as JsonObject;
}

/** The documented receipt with all the fields that the platform sends. */
function receipt(): TradeReceipt {
  const signed = fromJson(TradeReceiptSchema, example);
  const said = JSON.parse(Buffer.from(signed.content).toString()) as Record<string, string>;
  const amount = (name: string) => create(AmountSchema, said[name] as unknown as { asset: string; value: string });
  const time = (name: string) => timestampFromDate(new Date(said[name]!));
  return create(TradeReceiptSchema, {
    ...signed,
    quoteId: said["quote_id"]!,
    customerId: said["customer_id"]!,
    instrument: said["instrument"]!,
    side: Side.BUY,
    baseAmount: amount("base"),
    quoteAmount: amount("quote"),
    quoteTime: time("quoted_at"),
    expireTime: time("expires_at"),
    acceptTime: time("accepted_at"),
    endTime: time("ended_at"),
    state: TradeState.SETTLED,
    paidAmount: amount("paid"),
    receivedAmount: amount("received"),
    holdEntryId: said["hold_entry_id"]!,
    finalEntryId: said["final_entry_id"]!,
    evidenceDigest: Buffer.from(said["evidence_digest"]!, "hex"),
    keyId: said["key_id"]!,
  });
}

/** The same, saying something else, signed with the documented key: its seed is the bytes 0 to 31. */
function resigned(change: Record<string, unknown>): TradeReceipt {
  const seed = Buffer.from(Array.from({ length: 32 }, (_, at) => at));
  const key = createPrivateKey({ key: { ...keys[0], d: seed.toString("base64url") }, format: "jwk" });
  const said = { ...(JSON.parse(Buffer.from(receipt().content).toString()) as object), ...change };
  const content = Buffer.from(JSON.stringify(said));
  return { ...receipt(), content, signature: new Uint8Array(sign(null, content, key)) };
}

function refuses(changed: TradeReceipt, why: RegExp, known = keys, proof: Uint8Array = evidence): void {
  assert.throws(
    () => verifyReceipt(changed, known, proof),
    (error) => error instanceof ReceiptInvalid && why.test(error.message),
  );
}

test("the documented receipt and its evidence hold", () => {
  verifyReceipt(receipt(), keys, evidence);
  verifyReceipt(receipt(), keys);
});

test("a receipt of a rejected trade has paid and received nothing", () => {
  const rejected = resigned({ state: "rejected", paid: null, received: null, rejection_reason: "NO_FILL" });
  const { paidAmount: _, receivedAmount: __, ...rest } = rejected;
  verifyReceipt({ ...rest, state: TradeState.REJECTED, rejectionReason: "NO_FILL" }, keys, evidence);
});

test("a receipt in which any byte of the content or the signature was changed is refused", () => {
  const whole = receipt();
  for (const field of ["content", "signature"] as const) {
    for (let at = 0; at < whole[field].length; at++) {
      const bytes = Uint8Array.from(whole[field]);
      bytes[at]! ^= 1;
      refuses({ ...whole, [field]: bytes }, /signature/);
    }
  }
});

test("a field that does not say what was signed is refused, whichever it is", () => {
  const dear = create(AmountSchema, { value: "0.02", asset: "BTC" });
  const changes: Partial<TradeReceipt> = {
    tradeId: "trade_01h455vb4pex5vsknk084sn02q",
    quoteId: "quote_01h455vb4pex5vsknk084sn02q",
    customerId: "",
    instrument: "BTC-KES",
    side: Side.SELL,
    baseAmount: dear,
    quoteAmount: dear,
    quoteTime: timestampFromDate(new Date(0)),
    expireTime: timestampFromDate(new Date(0)),
    acceptTime: timestampFromDate(new Date(0)),
    endTime: { ...receipt().endTime!, nanos: 1 },
    state: TradeState.REJECTED,
    rejectionReason: "NO_FILL",
    paidAmount: dear,
    receivedAmount: dear,
    holdEntryId: "",
    finalEntryId: "",
    evidenceDigest: new Uint8Array(32),
  };
  for (const [name, value] of Object.entries(changes)) {
    refuses({ ...receipt(), [name]: value }, /is not what was signed/);
  }
  // Apart from what is signed itself, and from when and of what the message was made, that is all of them.
  const apart = ["content", "signature", "keyId", "makeTime"];
  const fields = TradeReceiptSchema.fields.map(({ localName }) => localName);
  assert.deepEqual([...Object.keys(changes), ...apart].sort(), fields.sort());
});

test("something else that the platform signed is no receipt", () => {
  refuses(resigned({ type: "reli.daily_close.v1" }), /type is not/);
  refuses(resigned({ key_id: "another" }), /key_id is not/);
});

test("a receipt that is signed with a key of somebody else is refused", () => {
  refuses(receipt(), /key/, []);
  const other = { ...keys[0]!, x: Buffer.alloc(32, 7).toString("base64url") };
  refuses(receipt(), /none of the platform's/, [other]);
  refuses({ ...receipt(), keyId: "another" }, /none of the platform's/);
});

test("a key is known by its thumbprint and not by what it calls itself", () => {
  const { kty, crv, x } = keys[0]!;
  verifyReceipt(receipt(), [{ kty, crv, x }], evidence);
  const masked = { kty, crv, x: Buffer.alloc(32, 7).toString("base64url"), kid: receipt().keyId };
  refuses(receipt(), /none of the platform's/, [masked]);
});

test("other evidence than the receipt names is refused", () => {
  refuses(receipt(), /evidence/, keys, Buffer.from("{ }"));
});

test("times are compared to the microsecond", () => {
  const ended = timestampDate(receipt().endTime!);
  assert.equal(ended.toISOString(), "2026-03-02T09:30:05.000Z");
  refuses({ ...receipt(), endTime: { ...receipt().endTime!, nanos: 1_000 } }, /ended_at/);
});
