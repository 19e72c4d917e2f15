import { createHash, createHmac, createPrivateKey, type KeyObject, randomBytes, sign } from "node:crypto";

import { toBinary } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";

/** Signs requests as RFC 9421 says. */
export interface Signer {
  /** Id of the request signing key. */
  readonly keyId: string;
  /** Its name among the algorithms of RFC 9421. */
  readonly algorithm: "ed25519" | "hmac-sha256";
  /** The signature over a signature base. */
  sign(base: Uint8Array): Uint8Array;
}

/** What precedes an Ed25519 seed in PKCS #8, RFC 8410. */
const PKCS8_OF_ED25519 = Buffer.from("302e020100300506032b657004220420", "hex");

/** Signs with a private key whose public half is registered. */
export class Ed25519Signer implements Signer {
  readonly algorithm = "ed25519";
  readonly #key: KeyObject;

  /**
   * `key` is a private key, or the seed of RFC 8032.
   *
   * @throws TypeError if it is no Ed25519 key, or the seed does not have 32 bytes.
   */
  constructor(
    readonly keyId: string,
    key: KeyObject | Uint8Array,
  ) {
    this.#key = key instanceof Uint8Array ? privateKeyOf(key) : key;
    if (this.#key.type !== "private" || this.#key.asymmetricKeyType !== "ed25519") {
      throw new TypeError("this is no private key of Ed25519");
    }
  }

  sign(base: Uint8Array): Uint8Array {
    return sign(null, base, this.#key);
  }
}

function privateKeyOf(seed: Uint8Array): KeyObject {
  if (seed.length !== 32) {
    throw new TypeError("a seed of Ed25519 has 32 bytes");
  }
  return createPrivateKey({ key: Buffer.concat([PKCS8_OF_ED25519, seed]), format: "der", type: "pkcs8" });
}

/** Signs with a secret that is shared with the platform. */
export class HmacSigner implements Signer {
  readonly algorithm = "hmac-sha256";
  readonly #key: Buffer;

  /**
   * `secret` is "reqsec_" and the base64 of the key's bytes.
   *
   * @throws TypeError if it is not.
   */
  constructor(
    readonly keyId: string,
    secret: string,
  ) {
    const text = secret.startsWith("reqsec_") ? secret.slice("reqsec_".length) : "";
    this.#key = Buffer.from(text, "base64");
    if (text === "" || this.#key.toString("base64") !== text) {
      throw new TypeError("this is no secret to sign requests with");
    }
  }

  sign(base: Uint8Array): Uint8Array {
    return createHmac("sha256", this.#key).update(base).digest();
  }
}

/** What tells one signature from every other; said where the result must be known beforehand. */
export interface Moment {
  /** Seconds since 1970; the platform takes what is at most 60 from its clock. Now, if not said. */
  readonly created?: number;
  /** 16 to 64 characters that no other request has. By chance, if not said. */
  readonly nonce?: string;
}

/** A request of the REST face, as it will be sent. */
export interface RestRequest {
  /** In capitals. */
  readonly method: string;
  readonly url: string | URL;
  /** All that will be sent; `idempotency-key` is covered by the signature. */
  readonly headers?: HeadersInit;
  /** Exactly the bytes that will be sent; a text goes as UTF-8. */
  readonly body?: string | Uint8Array;
}

/**
 * The headers to add to a request of the REST face: `signature-input`, `signature`, and with a body
 * `content-digest`. They hold for one attempt: a repeated request needs new ones.
 */
export function signRequest(signer: Signer, request: RestRequest, moment: Moment = {}): Record<string, string> {
  const { host, pathname, search } = new URL(request.url);
  const target: Covered = [
    ["@method", request.method],
    ["@authority", host],
    ["@path", pathname],
    ["@query", search || "?"],
  ];
  const body = typeof request.body === "string" ? Buffer.from(request.body) : request.body;
  return signedHeaders(signer, target, body, new Headers(request.headers), moment);
}

/** The headers to add to a gRPC call with one message, given as the bytes that will be sent. */
export function signCall(
  signer: Signer,
  path: string,
  message: Uint8Array,
  metadata: Headers,
  moment: Moment = {},
): Record<string, string> {
  const target: Covered = [
    ["@method", "POST"],
    ["@path", path],
  ];
  return signedHeaders(signer, target, message, metadata, moment);
}

/**
 * Signs every attempt of calls with one request message. What is digested here is what the transport
 * sends: both write the same message with the same options.
 */
export function signing(signer: Signer): Interceptor {
  return (next) => async (request) => {
    const path = `/${request.service.typeName}/${request.method.name}`;
    const message = request.stream ? await only(request.message) : request.message;
    const headers = signCall(signer, path, toBinary(request.method.input, message), request.header);
    for (const [name, value] of Object.entries(headers)) {
      request.header.set(name, value);
    }
    return next(request.stream ? { ...request, message: iterableOf(message) } : request);
  };
}

type Covered = readonly (readonly [name: string, value: string])[];

function signedHeaders(
  signer: Signer,
  target: Covered,
  body: Uint8Array | undefined,
  headers: Headers,
  { created = Math.floor(Date.now() / 1000), nonce = randomBytes(18).toString("base64url") }: Moment,
): Record<string, string> {
  const covered = [...target];
  const key = headers.get("idempotency-key");
  if (key !== null) {
    covered.push(["idempotency-key", key]);
  }
  const added: Record<string, string> = {};
  if (body?.length) {
    added["content-digest"] = `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
    covered.push(["content-digest", added["content-digest"]]);
  }
  const names = covered.map(([name]) => `"${name}"`).join(" ");
  const params = `(${names});created=${created};keyid="${signer.keyId}";alg="${signer.algorithm}";nonce="${nonce}"`;
  const lines = [...covered, ["@signature-params", params] as const];
  const base = lines.map(([name, value]) => `"${name}": ${value}`).join("\n");
  added["signature-input"] = `sig1=${params}`;
  added["signature"] = `sig1=:${Buffer.from(signer.sign(Buffer.from(base))).toString("base64")}:`;
  return added;
}

async function only<T>(messages: AsyncIterable<T>): Promise<T> {
  for await (const message of messages) {
    return message;
  }
  throw new TypeError("a call without a message cannot be signed");
}

async function* iterableOf<T>(message: T): AsyncGenerator<T> {
  yield message;
}
