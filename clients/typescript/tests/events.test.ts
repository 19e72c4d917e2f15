import assert from "node:assert/strict";
import { test } from "node:test";

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";

import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.js";
import {
  EventService,
  type StreamEventsRequest,
  type StreamEventsResponseSchema,
} from "../gen/reli/event/v1/event_service_pb.js";
import { events, type EventsOptions, SequenceGap } from "../src/events.js";
import { Refusal } from "../src/refusal.js";
import { withRetries } from "../src/retries.js";
import { FakeTiming, refused } from "./support.js";

type Message = MessageInitShape<typeof StreamEventsResponseSchema>;
/** What a stream does: tells messages, fails, or falls silent for ever. */
type Step = Message | ConnectError | "silence";

const event = (sequence: bigint, type = "trade.settled"): Message => ({
  news: { case: "event", value: { id: `event_${sequence}`, sequence, type } },
  position: sequence,
});
const heartbeat = (position: bigint): Message => ({
  news: { case: "heartbeat", value: { lastSequence: position } },
  position,
});
const end = (code: Code | 0, reason: string, retry: string): Message => {
  const info = create(ErrorInfoSchema, { reason, domain: "reli.dev", metadata: { retry } });
  return { news: { case: "end", value: { code, message: reason, details: [anyPack(ErrorInfoSchema, info)] } } };
};
const done: Message = { news: { case: "end", value: { code: 0 } }, position: 9n };

/** Reads the log of a platform whose streams go as told, and any further one to its end. */
async function read(streams: Step[][], options: EventsOptions = { after: 0n }) {
  const timing = new FakeTiming();
  const requests: StreamEventsRequest[] = [];
  const inner = createRouterTransport(({ service }) => {
    service(EventService, {
      async *streamEvents(request, { signal }) {
        requests.push(request);
        for (const step of streams[requests.length - 1] ?? [done]) {
          if (step instanceof ConnectError) {
            throw step;
          }
          if (step === "silence") {
            setImmediate(() => timing.fallSilent());
            await new Promise((_, reject) => signal.addEventListener("abort", reject));
          } else {
            yield step;
          }
        }
      },
    });
  });
  const transport = withRetries(inner, { timeoutMs: 5_000, attempts: 4, timing, admit: () => {} });
  const sequences: bigint[] = [];
  let error: unknown;
  try {
    for await (const one of events(createClient(EventService, transport), { ...options, timing })) {
      sequences.push(one.sequence);
    }
  } catch (thrown) {
    error = thrown;
  }
  return { sequences, error, asked: requests.map(({ after }) => after), requests, pauses: timing.pauses };
}

test("events come in their order, and heartbeats are passed over", async () => {
  const { sequences, error, asked } = await read([[heartbeat(0n), event(1n), heartbeat(1n), event(2n), done]]);
  assert.deepEqual([sequences, error, asked], [[1n, 2n], undefined, [0n]]);
});

const lost = new ConnectError("connection lost", Code.Unavailable);
const reopenings: [what: string, step: Step[]][] = [
  ["was cut", []],
  ["failed", [lost]],
  ["ended as streams do", [end(Code.Unavailable, "STREAM_ENDED", "same_request")]],
  ["found its reader slow", [end(Code.ResourceExhausted, "EVENT_READER_TOO_SLOW", "later")]],
  ["fell silent", ["silence"]],
];

for (const [what, last] of reopenings) {
  test(`a stream that ${what} is opened again where it was`, async () => {
    const { sequences, error, asked } = await read([
      [heartbeat(0n), event(1n), event(2n), ...last],
      [event(3n), done],
    ]);
    assert.deepEqual([sequences, error, asked], [[1n, 2n, 3n], undefined, [0n, 2n]]);
  });
}

test("a stream that cannot be opened is tried again after pauses that grow", async () => {
  const busy = refused(Code.ResourceExhausted, "TOO_MANY_STREAMS", "later", 3);
  const { sequences, pauses } = await read([[lost], [lost], [busy], [event(1n), lost], [event(2n), done]]);
  assert.deepEqual(sequences, [1n, 2n]);
  assert.deepEqual(pauses, [100, 200, 3_400, 100]);
});

test("an event that comes twice is told once", async () => {
  const { sequences } = await read([
    [event(1n), event(2n)],
    [event(1n), event(2n), event(3n), done],
  ]);
  assert.deepEqual(sequences, [1n, 2n, 3n]);
});

test("a position does not go back, whatever is told", async () => {
  const { sequences, asked } = await read([
    [event(1n), event(2n), heartbeat(0n)],
    [event(3n), done],
  ]);
  assert.deepEqual(
    [sequences, asked],
    [
      [1n, 2n, 3n],
      [0n, 2n],
    ],
  );
});

test("a gap is an error", async () => {
  const { sequences, error } = await read([[event(1n), event(3n), done]]);
  assert.deepEqual(sequences, [1n]);
  assert(error instanceof SequenceGap && error.position === 1n && error.sequence === 3n);
});

test("with a filter a gap is none, and the position still moves", async () => {
  const types = ["trade.*"];
  const streams = [[event(1n), heartbeat(4n), event(6n)], [heartbeat(8n)], [done]];
  const { sequences, error, asked, requests } = await read(streams, { after: 0n, types });
  assert.deepEqual([sequences, error, asked], [[1n, 6n], undefined, [0n, 6n, 8n]]);
  assert(requests.every((request) => request.types.join() === "trade.*"));
});

test("without a beginning it is what happens from now on, which the first heartbeat tells", async () => {
  const { sequences, asked } = await read([[heartbeat(41n)], [event(42n), done]], {});
  assert.deepEqual([sequences, asked], [[42n], [undefined, 41n]]);
});

test("a range ends by itself", async () => {
  const { sequences, requests } = await read([[event(1n), event(2n), done]], { after: 0n, until: 2n });
  assert.deepEqual([sequences, requests.map(({ until }) => until)], [[1n, 2n], [2n]]);
});

test("a refusal that nothing can mend is thrown", async () => {
  const revoked = await read([[event(1n), end(Code.Unauthenticated, "API_KEY_REVOKED", "never")]]);
  assert.deepEqual(revoked.sequences, [1n]);
  assert(revoked.error instanceof Refusal && revoked.error.reason === "API_KEY_REVOKED");
  const expired = await read([[refused(Code.OutOfRange, "EVENTS_EXPIRED", "never")]]);
  assert(expired.error instanceof Refusal && expired.error.reason === "EVENTS_EXPIRED");
});

test("a reader may take his time", async () => {
  const timing = new FakeTiming();
  let opened = 0;
  const transport = createRouterTransport(({ service }) => {
    service(EventService, {
      async *streamEvents() {
        opened += 1;
        yield* [event(1n), event(2n), done];
      },
    });
  });
  const sequences: bigint[] = [];
  for await (const { sequence } of events(createClient(EventService, transport), { after: 0n, timing })) {
    timing.fallSilent();
    sequences.push(sequence);
  }
  assert.deepEqual([sequences, opened], [[1n, 2n], 1]);
});

test(
  "the iteration ends with its signal, also while it waits, and then holds no stream",
  { timeout: 10_000 },
  async () => {
    const timing = new FakeTiming();
    const caller = new AbortController();
    const ended: Promise<unknown>[] = [];
    const transport = createRouterTransport(({ service }) => {
      service(EventService, {
        async *streamEvents(_, { signal }) {
          yield event(1n);
          ended.push(new Promise((resolve) => signal.addEventListener("abort", resolve)));
          setImmediate(() => caller.abort());
          await ended[0];
        },
      });
    });
    const sequences: bigint[] = [];
    const { signal } = caller;
    for await (const { sequence } of events(createClient(EventService, transport), { after: 0n, signal, timing })) {
      sequences.push(sequence);
    }
    await Promise.all(ended);
    assert.deepEqual([sequences, ended.length], [[1n], 1]);
  },
);

test("who leaves the iteration leaves no stream open", { timeout: 10_000 }, async () => {
  let closed: Promise<unknown> | undefined;
  const transport = createRouterTransport(({ service }) => {
    service(EventService, {
      async *streamEvents(_, { signal }) {
        closed = new Promise((resolve) => signal.addEventListener("abort", resolve));
        yield event(1n);
        await closed;
      },
    });
  });
  for await (const _ of events(createClient(EventService, transport), { after: 0n })) {
    break;
  }
  await closed;
});
