/** Time and chance, for whoever tests what waits. */
export interface Timing {
  /** Milliseconds since whenever; never goes back. */
  now(): number;
  /** Resolves after `ms` milliseconds, or as soon as the signal is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** A number from 0 up to but not including 1. */
  random(): number;
}

/** The process's own clock and chance. */
export const systemTiming: Timing = {
  now: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      signal?.addEventListener("abort", end);
      if (signal?.aborted) {
        end();
      }
    }),
  random: Math.random,
};

/**
 * How long to wait before attempt `attempt + 1`, in milliseconds: what was asked for, and of a pause
 * that grows to 2 s some part by chance, so that what failed together does not come back together.
 */
export function pauseMs(attempt: number, waitMs: number, timing: Timing): number {
  return waitMs + timing.random() * Math.min(2_000, 100 * 2 ** attempt);
}
