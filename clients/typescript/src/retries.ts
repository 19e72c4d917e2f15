import type { DescMessage, DescMethod, MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type StreamResponse, type Transport } from "@connectrpc/connect";

import { Refusal } from "./refusal.js";
import { pauseMs, type Timing } from "./timing.js";

/** How calls are made and repeated. */
export interface CallPolicy {
  /** How long a unary call may take with all its attempts, where the call does not say it; 0 is for ever. */
  readonly timeoutMs: number;
  /** How often a unary call is sent at most. */
  readonly attempts: number;
  readonly timing: Timing;
  /** Throws if this call must not go out. */
  admit(method: DescMethod): void;
}

/**
 * Codes of refusals that are kept under a request id like an answer: a call that had taken effect
 * would have been answered with that effect, however often it was sent.
 */
const OUTCOMES: ReadonlySet<Code> = new Set([Code.FailedPrecondition, Code.AlreadyExists]);

/**
 * A transport that throws a `Refusal` where `inner` fails, and sends a unary call again as the
 * refusal's retry class says, if its effect cannot come about twice. Streams are opened once.
 */
export function withRetries(inner: Transport, policy: CallPolicy): Transport {
  const { timing } = policy;
  return {
    async unary(method, signal, timeoutMs, header, input, contextValues) {
      const limitMs = timeoutMs ?? policy.timeoutMs;
      const deadline = limitMs > 0 ? timing.now() + limitMs : Infinity;
      const attempts = isRepeatable(method.input, header, input) ? policy.attempts : 1;
      let isLost = false;
      for (let attempt = 1; ; attempt++) {
        policy.admit(method);
        try {
          // Whole milliseconds, as gRPC sends them.
          const leftMs = deadline === Infinity ? 0 : Math.max(1, Math.ceil(deadline - timing.now()));
          return await inner.unary(method, signal, leftMs, header, input, contextValues);
        } catch (error) {
          const refusal = refusalOf(error, signal);
          isLost ||= refusal.retry === "same_request";
          refusal.isInDoubt = isLost && !OUTCOMES.has(refusal.code);
          const waitMs = pauseMs(attempt, refusal.waitMs, timing);
          const isLast = attempt >= attempts || timing.now() + waitMs >= deadline;
          if (refusal.retry === "never" || isLast) {
            throw refusal;
          }
          await timing.sleep(waitMs, signal);
          signal?.throwIfAborted();
        }
      }
    },
    async stream(method, signal, timeoutMs, header, input, contextValues) {
      policy.admit(method);
      try {
        const response = await inner.stream(method, signal, timeoutMs, header, input, contextValues);
        return { ...response, message: refusing(response, signal) };
      } catch (error) {
        throw refusalOf(error, signal);
      }
    },
  };
}

async function* refusing<I extends DescMessage, O extends DescMessage>(
  response: StreamResponse<I, O>,
  signal: AbortSignal | undefined,
) {
  try {
    yield* response.message;
  } catch (error) {
    throw refusalOf(error, signal);
  }
}

/** The refusal; throws whatever was no answer to a call, first of all the caller's own end of it. */
function refusalOf(error: unknown, signal: AbortSignal | undefined): Refusal {
  signal?.throwIfAborted();
  if (error instanceof ConnectError) {
    return Refusal.from(error);
  }
  throw error;
}

/** Whoever has no `request_id` is a read, or has the same effect however often it is sent. */
function isRepeatable<I extends DescMessage>(
  schema: I,
  header: HeadersInit | undefined,
  input: MessageInitShape<I>,
): boolean {
  const field = schema.fields.find(({ name }) => name === "request_id");
  return (
    field === undefined ||
    Boolean(Reflect.get(input, field.localName)) ||
    Boolean(new Headers(header).get("idempotency-key"))
  );
}
