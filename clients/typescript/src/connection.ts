import type { DescService } from "@bufbuild/protobuf";
import { type Client, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

import { withRetries } from "./retries.js";
import { type Signer, signing } from "./signing.js";
import { systemTiming, type Timing } from "./timing.js";

/** The platform's own limit of a message. */
const MESSAGE_BYTES = 4 * 1024 * 1024;

/** What may be said of a connection. */
export interface ConnectOptions {
  /** Signs every call; a stream of requests is then refused by the library, since it cannot be signed. */
  readonly signer?: Signer;
  /** Certificates in PEM to trust instead of those that Node trusts. */
  readonly rootCertificates?: string | Uint8Array;
  /** How long a unary call may take with all its attempts, where the call does not say it: 5 s. */
  readonly timeoutMs?: number;
  /** How often a unary call is sent at most: 4 times. */
  readonly attempts?: number;
  /** Time and chance, for tests. */
  readonly timing?: Timing;
}

/** One HTTP/2 connection to the platform, opened by the first call and again whenever it broke. */
export interface Connection {
  /** The client of a generated service. Its calls throw a `Refusal` where they have no success. */
  client<S extends DescService>(service: S): Client<S>;
  /** Ends the connection and all that goes on over it. */
  close(): void;
}

/**
 * A connection to `url`: `https://host:port`, or `http://host:port` for plaintext, with an API key.
 *
 * @throws TypeError if the address has more than an origin, or the key characters that no key has.
 */
export function connect(url: string, apiKey: string, options: ConnectOptions = {}): Connection {
  const { signer, rootCertificates, timeoutMs = 5_000, attempts = 4, timing = systemTiming } = options;
  const { origin, href, protocol } = new URL(url);
  if (!["http:", "https:"].includes(protocol) || href !== `${origin}/`) {
    throw new TypeError("the address of the platform is https://host:port or http://host:port");
  }
  // Checked here because a header that is refused later would be repeated in the error.
  if (!/^[\x21-\x7e]+$/.test(apiKey)) {
    throw new TypeError("the API key is empty, or has characters that no key has");
  }
  const authorize: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${apiKey}`);
    return next(request);
  };
  const session = new Http2SessionManager(
    origin,
    { pingIntervalMs: 30_000 },
    rootCertificates === undefined ? {} : { ca: Buffer.from(rootCertificates) },
  );
  const grpc = createGrpcTransport({
    baseUrl: origin,
    sessionManager: session,
    interceptors: signer === undefined ? [authorize] : [authorize, signing(signer)],
    readMaxBytes: MESSAGE_BYTES,
    writeMaxBytes: MESSAGE_BYTES,
  });
  let isClosed = false;
  const transport = withRetries(grpc, {
    timeoutMs,
    attempts,
    timing,
    admit({ name, methodKind }) {
      if (isClosed) {
        throw new Error("the connection was closed");
      }
      if (signer !== undefined && methodKind !== "unary" && methodKind !== "server_streaming") {
        throw new TypeError(`${name} cannot be signed: it sends a stream`);
      }
    },
  });
  return {
    client: (service) => createClient(service, transport),
    close() {
      isClosed = true;
      session.abort();
    },
  };
}
