import type { Client } from "@connectrpc/connect";

import type { Event } from "../gen/reli/event/v1/event_pb.js";
import type { EventService, StreamEventsResponse } from "../gen/reli/event/v1/event_service_pb.js";
import { Refusal } from "./refusal.js";
import { pauseMs, systemTiming, type Timing } from "./timing.js";

/** The platform says something every 5 s; who says nothing for as long as this is gone. */
const SILENCE_MS = 15_000;

/** Which events, and until when. */
export interface EventsOptions {
  /** Only events beyond this sequence, 0n for all. Without it, what happens from now on. */
  readonly after?: bigint;
  /** Only events up to and with this sequence; then the iteration ends. */
  readonly until?: bigint;
  /** Only events of these types, such as "trade.settled" or "trade.*". */
  readonly types?: readonly string[];
  /** Ends the iteration. */
  readonly signal?: AbortSignal;
  /** Time and chance, for tests. */
  readonly timing?: Timing;
}

/** An event is missing in the log, which never happens. */
export class SequenceGap extends Error {
  override readonly name = "SequenceGap";

  constructor(
    /** The latest sequence before the gap. */
    readonly position: bigint,
    /** The sequence that came. */
    readonly sequence: bigint,
  ) {
    super(`event ${sequence} came after ${position}`);
  }
}

/**
 * The events of the tenant's log in their order, each once, for as long as it takes: a stream that
 * ends, is cut or falls silent is opened again where it was.
 *
 * @throws Refusal if it cannot go on, such as API_KEY_REVOKED or EVENTS_EXPIRED.
 * @throws SequenceGap if an event is missing, where all types are asked for.
 */
export async function* events(
  client: Client<typeof EventService>,
  options: EventsOptions = {},
): AsyncGenerator<Event, void, undefined> {
  const { until, types = [], signal, timing = systemTiming } = options;
  let position = options.after;
  let failures = 0;
  while (!signal?.aborted) {
    const opened = new AbortController();
    const end = () => opened.abort();
    signal?.addEventListener("abort", end);
    let waitMs = 0;
    try {
      const request = {
        types: [...types],
        ...(position === undefined ? {} : { after: position }),
        ...(until === undefined ? {} : { until }),
      };
      const stream = client.streamEvents(request, { signal: opened.signal });
      for await (const { news, position: looked } of audible(stream, opened, timing)) {
        if (news.case === "end") {
          if (news.value.code === 0) {
            return;
          }
          throw Refusal.fromStatus(news.value);
        }
        failures = 0;
        if (news.case === "event") {
          const { sequence } = news.value;
          if (position !== undefined && sequence <= position) {
            continue;
          }
          if (position !== undefined && types.length === 0 && sequence !== position + 1n) {
            throw new SequenceGap(position, sequence);
          }
          position = sequence;
          yield news.value;
        }
        position = position === undefined || looked > position ? looked : position;
      }
    } catch (error) {
      // An aborted stream throws too: at the caller's will, or because it was silent.
      if (!opened.signal.aborted) {
        if (!(error instanceof Refusal) || error.retry === "never") {
          throw error;
        }
        waitMs = error.waitMs;
      }
    } finally {
      signal?.removeEventListener("abort", end);
      opened.abort();
    }
    failures += 1;
    await timing.sleep(pauseMs(failures, waitMs, timing), signal);
  }
}

/** The messages of a stream, which is aborted if none comes for too long. */
async function* audible(
  stream: AsyncIterable<StreamEventsResponse>,
  opened: AbortController,
  timing: Timing,
): AsyncGenerator<StreamEventsResponse, void, undefined> {
  const messages = stream[Symbol.asyncIterator]();
  for (;;) {
    // Only while we wait: a reader may take his time.
    const heard = new AbortController();
    void timing.sleep(SILENCE_MS, heard.signal).then(() => {
      if (!heard.signal.aborted) {
        opened.abort();
      }
    });
    const message = await messages.next().finally(() => heard.abort());
    if (message.done) {
      return;
    }
    yield message.value;
  }
}
