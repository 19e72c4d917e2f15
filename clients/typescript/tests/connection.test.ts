import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Http2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { after, before, test, type TestContext } from "node:test";
import { inspect } from "node:util";

import { Code } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

import { EventService } from "../gen/reli/event/v1/event_service_pb.js";
import { QuoteService } from "../gen/reli/quote/v1/quote_service_pb.js";
import { type Connection, connect, type ConnectOptions } from "../src/connection.js";
import { Refusal } from "../src/refusal.js";
import { refused } from "./support.js";

const KEY = "reli_7zCURkot164YbtqVRrEleMRBvY9U4oFyNRgdPKRWjck";

let server: Http2Server;
let url: string;
const authorizations: (string | null)[] = [];

before(async () => {
  const routes = connectNodeAdapter({
    routes: ({ service }) => {
      service(QuoteService, {
        getQuote(_, { requestHeader }) {
          authorizations.push(requestHeader.get("authorization"));
          return {};
        },
        acceptQuote: () => Promise.reject(refused(Code.FailedPrecondition, "QUOTE_EXPIRED", "never")),
        cancelQuote: () => Promise.reject(refused(Code.ResourceExhausted, "RATE_LIMITED", "later", 60.25)),
        createQuote: () => new Promise(() => {}),
      });
      service(EventService, {
        async *streamEvents() {
          throw refused(Code.InvalidArgument, "EVENT_TYPE_UNKNOWN", "never");
        },
      });
    },
  });
  server = createServer(routes);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

after(() => server.close());

/** A connection that ends with the test. */
function connected(t: TestContext, address = url, options: ConnectOptions = {}): Connection {
  const reli = connect(address, KEY, options);
  t.after(() => reli.close());
  return reli;
}

test("a call carries the key, and nothing that can be printed does", async (t) => {
  const reli = connected(t);
  const quotes = reli.client(QuoteService);
  await quotes.getQuote({ quoteId: "quote_1" });
  assert.deepEqual(authorizations, [`Bearer ${KEY}`]);
  const error: unknown = await quotes.acceptQuote({ quoteId: "quote_1", requestId: "one" }).catch((error) => error);
  const printed = [reli, quotes, error].map((one) => inspect(one, { depth: null, showHidden: true })).join();
  assert(printed.includes("QUOTE_EXPIRED") && !printed.includes(KEY));
});

test("a refusal is read from the details of the status", async (t) => {
  const reli = connected(t);
  const acceptance = reli.client(QuoteService).acceptQuote({ quoteId: "quote_1", requestId: "one" });
  await assert.rejects(acceptance, (error) => {
    assert(error instanceof Refusal);
    assert.deepEqual(
      [error.reason, error.retry, error.code, error.message, error.waitMs, error.metadata["field"]],
      ["QUOTE_EXPIRED", "never", Code.FailedPrecondition, "told to people", 0, "quote_id"],
    );
    return true;
  });
  const cancellation = reli.client(QuoteService).cancelQuote({ quoteId: "quote_1", requestId: "one" });
  await assert.rejects(cancellation, { name: "Refusal", reason: "RATE_LIMITED", retry: "later", waitMs: 60_250 });
  const stream = reli.client(EventService).streamEvents({ types: ["trade.setled"] });
  await assert.rejects(stream[Symbol.asyncIterator]().next(), { name: "Refusal", reason: "EVENT_TYPE_UNKNOWN" });
});

test("a call that gets no answer ends with its deadline, and what became of it is not known", async (t) => {
  const reli = connected(t, url, { timeoutMs: 50 });
  const creation = reli.client(QuoteService).createQuote({ requestId: "quote-1" });
  await assert.rejects(creation, { name: "Refusal", reason: "", retry: "same_request", code: Code.DeadlineExceeded });
});

test("a call that its caller ends throws his reason", async (t) => {
  const reli = connected(t);
  const creation = reli.client(QuoteService).createQuote({}, { signal: AbortSignal.timeout(10) });
  await assert.rejects(creation, { name: "TimeoutError" });
});

test("where nobody listens, that is a refusal without a reason", async (t) => {
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const { port } = other.address() as AddressInfo;
  other.close();
  await once(other, "close");
  const reli = connected(t, `http://127.0.0.1:${port}`, { attempts: 2 });
  const call = reli.client(QuoteService).getQuote({ quoteId: "quote_1" });
  await assert.rejects(call, { name: "Refusal", reason: "", retry: "same_request", code: Code.Unavailable });
});

test("a connection that was closed makes no more calls", async (t) => {
  const reli = connected(t);
  const quotes = reli.client(QuoteService);
  const waiting = assert.rejects(quotes.createQuote({ requestId: "quote-1" }), /closed/);
  const streams = reli.client(EventService);
  await quotes.getQuote({ quoteId: "quote_1" });
  reli.close();
  await waiting;
  await assert.rejects(quotes.getQuote({ quoteId: "quote_1" }), /closed/);
  await assert.rejects(streams.streamEvents({})[Symbol.asyncIterator]().next(), /closed/);
});

for (const wrong of ["ftp://a", "https://a/v1", "https://a?b", "https://a#b", "https://user:word@a"]) {
  test(`${wrong} is no address of the platform`, () => {
    assert.throws(() => connect(wrong, KEY), TypeError);
  });
}

test("a key with characters that no key has is refused without repeating it", () => {
  for (const wrong of [`${KEY}\n`, `${KEY} ${KEY}`, ""]) {
    assert.throws(
      () => connect(url, wrong),
      (error) => error instanceof TypeError && !inspect(error).includes(KEY),
    );
  }
});
