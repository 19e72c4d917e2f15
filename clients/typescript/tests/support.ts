import { readFileSync } from "node:fs";

import { Code, ConnectError } from "@connectrpc/connect";

import { ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb.js";
import type { Timing } from "../src/timing.js";

/** A file of the repository, by its path from the root. */
export function repositoryFile(path: string): string {
  return readFileSync(new URL(`../../../../${path}`, import.meta.url), "utf8");
}

/** The failure of a call as the platform tells it. */
export function refused(code: Code, reason: string, retry: string, waitS?: number): ConnectError {
  const info = { reason, domain: "reli.dev", metadata: { retry, field: "quote_id" } };
  const details = [{ desc: ErrorInfoSchema, value: info }];
  const wait = { retryDelay: { seconds: BigInt(Math.floor(waitS ?? 0)), nanos: ((waitS ?? 0) % 1) * 1e9 } };
  const waits = waitS === undefined ? [] : [{ desc: RetryInfoSchema, value: wait }];
  return new ConnectError("told to people", code, undefined, [...details, ...waits]);
}

/** A clock that only sleeping moves. Pauses end at once; a watch over silence ends when told. */
export class FakeTiming implements Timing {
  readonly pauses: number[] = [];
  readonly #watches = new Set<() => void>();
  #now = 0;

  now(): number {
    return this.#now;
  }

  random(): number {
    return 0.5;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (ms === 15_000) {
      return new Promise((resolve) => {
        this.#watches.add(resolve);
        signal?.addEventListener("abort", () => resolve());
      });
    }
    this.pauses.push(ms);
    this.#now += ms;
  }

  /** Lets 15 s pass for whoever watches. */
  fallSilent(): void {
    this.#watches.forEach((end) => end());
  }
}
