import assert from "node:assert/strict";
import { test } from "node:test";

import { type CallOptions, Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";

import { QuoteService } from "../gen/reli/quote/v1/quote_service_pb.js";
import { Refusal } from "../src/refusal.js";
import { withRetries } from "../src/retries.js";
import { pauseMs, systemTiming } from "../src/timing.js";
import { FakeTiming, refused } from "./support.js";

/** A client whose calls fail in turn as `failures` say and then succeed, with what came of it. */
function quotesThatFail(...failures: ConnectError[]) {
  const timing = new FakeTiming();
  const arrived: string[] = [];
  const answer = (request: { $typeName: string }) => {
    arrived.push(request.$typeName);
    const failure = failures[arrived.length - 1];
    if (failure !== undefined) {
      throw failure;
    }
    return {};
  };
  const inner = createRouterTransport(({ service }) => {
    service(QuoteService, { acceptQuote: answer, getQuote: answer, createQuote: answer });
  });
  const policy = { timeoutMs: 5_000, attempts: 4, timing, admit: () => {} };
  return { quotes: createClient(QuoteService, withRetries(inner, policy)), timing, arrived };
}

const acceptance = { quoteId: "quote_1", requestId: "accept-1" };
const broken = () => new ConnectError("connection lost", Code.Unavailable);
const conflict = () => refused(Code.Aborted, "VERSION_CONFLICT", "same_request");
const pending = (waitS: number) => refused(Code.ResourceExhausted, "RECEIPT_PENDING", "later", waitS);

function isRefusal(reason: string, retry: string): (error: unknown) => boolean {
  return (error) => error instanceof Refusal && error.reason === reason && error.retry === retry;
}

test("what can never succeed is told at once", async () => {
  const { quotes, timing, arrived } = quotesThatFail(refused(Code.FailedPrecondition, "INSUFFICIENT_FUNDS", "never"));
  await assert.rejects(quotes.acceptQuote(acceptance), isRefusal("INSUFFICIENT_FUNDS", "never"));
  assert.deepEqual([arrived.length, timing.pauses], [1, []]);
});

const revoked = () => refused(Code.Unauthenticated, "API_KEY_REVOKED", "never");
const tooPoor = () => refused(Code.FailedPrecondition, "INSUFFICIENT_FUNDS", "never");
for (const [what, failures, isInDoubt] of [
  ["all attempts were lost", [broken, broken, broken, broken], true],
  ["one was lost, and then nothing is told of it", [broken, revoked], true],
  ["one was lost, and then the outcome is told", [broken, tooPoor], false],
  ["none was lost", [revoked], false],
  ["the outcome is told at once", [tooPoor], false],
] as const) {
  test(`whether the call may have had its effect: ${what}`, async () => {
    const { quotes } = quotesThatFail(...failures.map((fail) => fail()));
    await assert.rejects(
      quotes.acceptQuote(acceptance),
      (error) => error instanceof Refusal && error.isInDoubt === isInDoubt,
    );
  });
}

test("the same request is sent again after pauses that grow, and at most four times", async () => {
  const { quotes, timing, arrived } = quotesThatFail(...Array.from({ length: 9 }, conflict));
  await assert.rejects(quotes.acceptQuote(acceptance), isRefusal("VERSION_CONFLICT", "same_request"));
  assert.deepEqual([arrived.length, timing.pauses], [4, [100, 200, 400]]);
});

test("a pause grows to two seconds and no further", () => {
  const timing = { ...systemTiming, random: () => 1 };
  assert.deepEqual(
    [1, 4, 5, 30].map((attempt) => pauseMs(attempt, 0, timing)),
    [200, 1_600, 2_000, 2_000],
  );
});

test("a connection that broke is tried again", async () => {
  const { quotes, arrived } = quotesThatFail(broken(), broken());
  await quotes.acceptQuote(acceptance);
  assert.equal(arrived.length, 3);
});

test("what may succeed later is sent again after the time that was told", async () => {
  const { quotes, timing, arrived } = quotesThatFail(pending(1.5));
  await quotes.getQuote({ quoteId: "quote_1" });
  assert.deepEqual([arrived.length, timing.pauses], [2, [1_600]]);
});

test("a wait that does not fit into the deadline is not begun", async () => {
  const { quotes, timing, arrived } = quotesThatFail(pending(2), pending(2), pending(2));
  await assert.rejects(quotes.getQuote({ quoteId: "quote_1" }), isRefusal("RECEIPT_PENDING", "later"));
  assert.deepEqual([arrived.length, timing.pauses], [3, [2_100, 2_200]]);
});

test("a call's own deadline goes before that of the connection", async () => {
  const hasty = quotesThatFail(pending(2));
  await assert.rejects(hasty.quotes.getQuote({ quoteId: "quote_1" }, { timeoutMs: 2_100 }), Refusal);
  const patient = quotesThatFail(pending(9));
  await patient.quotes.getQuote({ quoteId: "quote_1" }, { timeoutMs: 10_000 });
  const endless = quotesThatFail(pending(999));
  await endless.quotes.getQuote({ quoteId: "quote_1" }, { timeoutMs: 0 });
  assert.deepEqual(
    [hasty, patient, endless].map(({ arrived }) => arrived.length),
    [1, 2, 2],
  );
});

const cases: [
  what: string,
  call: (quotes: ReturnType<typeof quotesThatFail>["quotes"]) => Promise<unknown>,
  sent: number,
][] = [
  ["a write without a request id is sent once", (quotes) => quotes.createQuote({ customerId: "customer_1" }), 1],
  ["a write with a request id is sent again", (quotes) => quotes.createQuote({ requestId: "quote-1" }), 4],
  [
    "a write with an idempotency key in its metadata is sent again",
    (quotes) => quotes.createQuote({}, { headers: { "Idempotency-Key": "quote-1" } } satisfies CallOptions),
    4,
  ],
  ["a read is sent again", (quotes) => quotes.getQuote({}), 4],
];

for (const [what, call, sent] of cases) {
  test(what, async () => {
    const { quotes, arrived } = quotesThatFail(...Array.from({ length: 9 }, broken));
    await assert.rejects(call(quotes), isRefusal("", "same_request"));
    assert.equal(arrived.length, sent);
  });
}

test("a caller who has ended the call hears his own reason, and nothing is sent again", async () => {
  const caller = new AbortController();
  const { quotes, timing, arrived } = quotesThatFail(broken());
  timing.sleep = async () => caller.abort(new Error("enough"));
  await assert.rejects(quotes.getQuote({}, { signal: caller.signal }), /enough/);
  assert.equal(arrived.length, 1);
});
