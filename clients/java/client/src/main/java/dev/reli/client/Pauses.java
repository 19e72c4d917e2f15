package dev.reli.client;

import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.DoubleSupplier;

/**
 * How long to wait before a request is sent again: as long as the refusal says, and a growing pause
 * with full jitter on top, so that those who were refused together do not come back together.
 *
 * @param chance a number from 0 to 1 at each call
 */
record Pauses(DoubleSupplier chance) {
  static final Pauses RANDOM = new Pauses(() -> ThreadLocalRandom.current().nextDouble());

  private static final Duration FIRST = Duration.ofMillis(100);
  private static final Duration LONGEST = Duration.ofSeconds(2);

  /** The pause after an attempt was refused, which are numbered from 1. */
  Duration after(int attempt, Refusal refusal) {
    Duration growing = FIRST.multipliedBy(1L << Math.min(attempt, 10));
    Duration most = growing.compareTo(LONGEST) < 0 ? growing : LONGEST;
    Duration jitter = Duration.ofNanos((long) (most.toNanos() * chance.getAsDouble()));
    return refusal.delay().plus(jitter);
  }
}
