import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, verify } from "node:crypto";
import { once } from "node:events";
import { createServer, type Http2Server, type IncomingHttpHeaders } from "node:http2";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { after, before, test, type TestContext } from "node:test";
import { inspect } from "node:util";

import { type Connection, connect } from "../src/connection.js";
import { Refusal } from "../src/refusal.js";
import { Ed25519Signer, HmacSigner, type Signer, signCall, signRequest } from "../src/signing.js";
import { EventService } from "../gen/reli/event/v1/event_service_pb.js";
import { LedgerAdminService } from "../gen/reli/ledger/v1/ledger_service_pb.js";
import { QuoteService } from "../gen/reli/quote/v1/quote_service_pb.js";
import { TenantService } from "../gen/reli/tenant/v1/tenant_service_pb.js";
import { repositoryFile } from "./support.js";

interface Vector {
  name: string;
  key_id: string;
  method: string;
  path: string;
  headers: Record<string, string>;
  signature_base: string;
}

interface Vectors {
  keys: Record<string, { seed?: string; secret?: string }>;
  good: (Vector & { authority: string; query: string; body: string })[];
  grpc: (Vector & { message: string })[];
}

const vectors = JSON.parse(repositoryFile("docs/signing-vectors.json")) as Vectors;
const moment = { created: 1_700_000_000, nonce: "b3VyLW93bi1ub25jZS0x" };

/** The vector's signer, and what it is given to sign. */
function recording(keyId: string): { signer: Signer; bases: string[] } {
  const { seed, secret } = vectors.keys[keyId]!;
  const signer = secret ? new HmacSigner(keyId, secret) : new Ed25519Signer(keyId, Buffer.from(seed!, "base64"));
  const bases: string[] = [];
  const sign = (base: Uint8Array) => {
    bases.push(Buffer.from(base).toString());
    return signer.sign(base);
  };
  return { signer: { keyId, algorithm: signer.algorithm, sign }, bases };
}

/** What a vector's headers have that was there before signing. */
function unsigned(headers: Record<string, string>): Record<string, string> {
  const key = headers["idempotency-key"];
  return key === undefined ? {} : { "idempotency-key": key };
}

for (const vector of vectors.good) {
  test(`over REST, ${vector.name} is signed as the vector says`, () => {
    const { signer, bases } = recording(vector.key_id);
    const sent = unsigned(vector.headers);
    const url = `https://${vector.authority}${vector.path}${vector.query && `?${vector.query}`}`;
    const added = signRequest(signer, { method: vector.method, url, headers: sent, body: vector.body }, moment);
    assert.deepEqual({ ...sent, ...added }, vector.headers);
    assert.deepEqual(bases, [vector.signature_base]);
  });
}

for (const vector of vectors.grpc) {
  test(`over gRPC, ${vector.name} is signed as the vector says`, () => {
    const { signer, bases } = recording(vector.key_id);
    const sent = unsigned(vector.headers);
    const message = Buffer.from(vector.message, "base64");
    const added = signCall(signer, vector.path, message, new Headers(sent), moment);
    assert.deepEqual({ ...sent, ...added }, vector.headers);
    assert.deepEqual(bases, [vector.signature_base]);
  });
}

test("there are vectors of both sorts for both algorithms", () => {
  const sorts = [vectors.good, vectors.grpc].map((all) => new Set(all.map(({ key_id }) => key_id)).size);
  assert.deepEqual(sorts, [2, 2]);
});

test("a nonce is new for each request, and the time is now", () => {
  const { signer } = recording(vectors.good[0]!.key_id);
  const inputs = [1, 2].map(() => signRequest(signer, { method: "GET", url: "https://a" })["signature-input"]!);
  const [first, second] = inputs.map((input) => /created=(\d+);.*nonce="([^"]{16,64})"$/.exec(input));
  assert.notEqual(first?.[2], second?.[2]);
  assert(Math.abs(Number(first?.[1]) - Date.now() / 1000) < 60);
});

test("what is no key to sign with is refused", () => {
  assert.throws(() => new HmacSigner("key", "whsec_AAAA"), TypeError);
  assert.throws(() => new HmacSigner("key", "reqsec_not base64"), TypeError);
  assert.throws(() => new HmacSigner("key", "reqsec_"), TypeError);
  assert.throws(() => new Ed25519Signer("key", new Uint8Array(31)), TypeError);
  assert.throws(() => new Ed25519Signer("key", generateKeyPairSync("ed448").privateKey), TypeError);
  assert.throws(() => new Ed25519Signer("key", generateKeyPairSync("ed25519").publicKey), TypeError);
});

test("a signer does not show its secret", () => {
  const secret = "reqsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
  const signer = new HmacSigner("key", secret);
  const shown = inspect(signer, { depth: null, showHidden: true }) + JSON.stringify(signer);
  assert(!shown.includes(secret.slice(7)) && !shown.includes("20 21 22 23"));
});

interface Seen {
  path: string;
  headers: IncomingHttpHeaders;
  message: Buffer;
}

/** What came over the wire, of which the first request is told that nothing was decided. */
const seen: Seen[] = [];
let server: Http2Server;
let url: string;

before(async () => {
  server = createServer();
  server.on("stream", async (stream, headers) => {
    // A message on the wire is 1 byte of compression and 4 of length, and then its bytes.
    const frame = await buffer(stream);
    assert.equal(frame.readUInt8(0), 0);
    assert.equal(frame.readUInt32BE(1), frame.length - 5);
    seen.push({ path: String(headers[":path"]), headers, message: frame.subarray(5) });
    const status = seen.length === 1 ? "14" : "0";
    stream.respond({ "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": status }));
    stream.end(status === "0" ? Buffer.alloc(5) : undefined);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

after(() => server.close());

const { privateKey, publicKey } = generateKeyPairSync("ed25519");

function signedConnection(t: TestContext): Connection {
  const reli = connect(url, "reli_key", { signer: new Ed25519Signer("key", privateKey) });
  t.after(() => reli.close());
  return reli;
}

/** The signature base, put together again from what came. */
function baseOf({ path, headers }: Seen): Buffer {
  const params = String(headers["signature-input"]).slice("sig1=".length);
  const derived: Record<string, string> = { "@method": "POST", "@path": path };
  const names = [...params.slice(0, params.indexOf(")")).matchAll(/"([^"]+)"/g)].map((match) => match[1]!);
  const lines = names.map((name) => `"${name}": ${derived[name] ?? headers[name]}`);
  return Buffer.from([...lines, `"@signature-params": ${params}`].join("\n"));
}

/** Asserts that what came is signed, over the very bytes that came. */
function assertSigned(one: Seen, covered: string): void {
  const { headers, message } = one;
  const digest = `sha-256=:${createHash("sha256").update(message).digest("base64")}:`;
  assert.equal(headers["content-digest"], message.length ? digest : undefined);
  assert.equal(String(headers["signature-input"]).startsWith(`sig1=(${covered});`), true);
  const signature = Buffer.from(String(headers["signature"]).slice("sig1=:".length, -1), "base64");
  assert(verify(null, baseOf(one), publicKey, signature));
}

test("each attempt is signed anew, over the bytes that are on the wire", async (t) => {
  seen.length = 0;
  const reli = signedConnection(t);
  const branding = Object.fromEntries(
    Array.from({ length: 50 }, (_, at) => [`zulu ${50 - at}`, { at, é: [true, null] }]),
  );
  await reli.client(TenantService).updateCurrentTenant({ displayName: "Mamá", branding, requestId: "one" });
  assert.equal(seen.length, 2);
  seen.forEach((one) => assertSigned(one, '"@method" "@path" "content-digest"'));
  assert.deepEqual(seen[0]!.message, seen[1]!.message);
  assert.notEqual(seen[0]!.headers["signature-input"], seen[1]!.headers["signature-input"]);
});

test("an idempotency key in the metadata, an empty message and the request of a stream are signed", async (t) => {
  seen.length = 1;
  const reli = signedConnection(t);
  const headers = { "idempotency-key": "accept-1" };
  await reli.client(QuoteService).acceptQuote({ quoteId: "quote_1" }, { headers });
  await reli.client(TenantService).getCurrentTenant({});
  for await (const _ of reli.client(EventService).streamEvents({ after: 7n, types: ["trade.*"] })) {
    break;
  }
  const [, acceptance, empty, stream] = seen;
  assertSigned(acceptance!, '"@method" "@path" "idempotency-key" "content-digest"');
  assertSigned(empty!, '"@method" "@path"');
  assertSigned(stream!, '"@method" "@path" "content-digest"');
  assert.equal(stream!.path, "/reli.event.v1.EventService/StreamEvents");
});

test("a stream of requests is not sent unsigned", async (t) => {
  seen.length = 1;
  const reli = signedConnection(t);
  const loading = reli.client(LedgerAdminService).loadEntries((async function* () {})());
  await assert.rejects(loading, (error) => error instanceof TypeError && !(error instanceof Refusal));
  assert.equal(seen.length, 1);
});
