import { durationMs } from "@bufbuild/protobuf/wkt";
import { type Code, ConnectError } from "@connectrpc/connect";

import { ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb.js";
import type { Status } from "../gen/google/rpc/status_pb.js";

/**
 * What a program may do about a refusal without knowing its reason: nothing, send the same request
 * again after a growing pause, or wait as long as told and then send it again.
 */
export type Retry = "never" | "same_request" | "later";

/** A call had no success: the platform said no, or it cannot be known what it said. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  /**
   * Whether the call may have taken effect all the same: the answer to one of its attempts was lost,
   * and nothing that was heard since tells its outcome. Ask for that by sending the call again under
   * the same request id. It means nothing where a call only reads.
   */
  isInDoubt: boolean;

  constructor(
    message: string,
    /** The code of gRPC. */
    readonly code: Code,
    /** A stable name such as "INSUFFICIENT_FUNDS"; empty where the platform did not say one. */
    readonly reason: string,
    /** What may be done about it. Where the platform was not heard, that is `same_request`. */
    readonly retry: Retry,
    /** Particulars of the reason by their names, such as `available` and `needed`. */
    readonly metadata: Readonly<Record<string, string>>,
    /** How long to wait before the next attempt, in milliseconds; 0 where nothing was said. */
    readonly waitMs: number,
    cause?: unknown,
  ) {
    super(message, { cause });
    this.isInDoubt = retry === "same_request";
  }

  /** The refusal that a failed call brought: its ErrorInfo and RetryInfo, if it has any. */
  static from(error: ConnectError): Refusal {
    const [info] = error.findDetails(ErrorInfoSchema);
    const [wait] = error.findDetails(RetryInfoSchema);
    const metadata = info?.metadata ?? {};
    const waitMs = wait?.retryDelay === undefined ? 0 : Math.max(0, durationMs(wait.retryDelay));
    const retry = retryOf(metadata["retry"]);
    return new Refusal(error.rawMessage, error.code, info?.reason ?? "", retry, metadata, waitMs, error);
  }

  /** The refusal that a message in a stream carries. */
  static fromStatus(status: Status): Refusal {
    const error = new ConnectError(status.message, status.code);
    error.details = status.details.map(({ typeUrl, value }) => ({
      type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1),
      value,
    }));
    return Refusal.from(error);
  }
}

function retryOf(text: string | undefined): Retry {
  return text === "never" || text === "later" ? text : "same_request";
}
