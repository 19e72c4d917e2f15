package dev.reli.client;

import dev.reli.event.v1.Event;
import dev.reli.event.v1.EventServiceGrpc;
import dev.reli.event.v1.StreamEventsRequest;
import dev.reli.event.v1.StreamEventsResponse;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.Status;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * The tenant's log, event after event: in order, none twice, and for as long as it is read.
 *
 * <p>A stream that is cut, that ends because it has lasted for long enough, or that says nothing
 * for 15 s is opened again where it was. {@link #hasNext()} waits for the next event; it is false
 * once all up to the request's {@code until} were told, or this was closed. One thread reads;
 * another may close.
 */
public final class Events implements Iterable<Event>, Iterator<Event>, AutoCloseable {
  private static final Duration SILENCE = Duration.ofSeconds(15);
  private static final System.Logger LOG = System.getLogger(Events.class.getName());

  private final Channel channel;
  private final Duration silence;
  private final Pauses pauses;

  /** What the stream is opened with; its `after` is the position, absent until it is known. */
  private final StreamEventsRequest.Builder request;

  private final CountDownLatch closed = new CountDownLatch(1);
  private Stream stream;
  private Event event;
  private int failures;
  private boolean isTold;

  /**
   * Reads the log as the request says: {@code after} which sequence, {@code until} which, and of
   * which {@code types}. Without {@code after} it begins with what happens from now on.
   */
  public Events(Channel channel, StreamEventsRequest request) {
    this(channel, request, SILENCE, Pauses.RANDOM);
  }

  Events(Channel channel, StreamEventsRequest request, Duration silence, Pauses pauses) {
    this.channel = channel;
    this.request = request.toBuilder();
    this.silence = silence;
    this.pauses = pauses;
  }

  /** Itself: the log is read once. */
  @Override
  public Iterator<Event> iterator() {
    return this;
  }

  /** The sequence up to which the log was read: `after` of whoever reads on some other time. */
  public long position() {
    return request.getAfter();
  }

  /**
   * Waits for the next event.
   *
   * @throws Refusal if the platform refuses to tell more, such as with API_KEY_REVOKED or
   *     EVENTS_EXPIRED
   * @throws IllegalStateException if an event is missing, which should never happen
   * @throws io.grpc.StatusRuntimeException CANCELLED if the thread is interrupted
   */
  @Override
  public boolean hasNext() {
    try {
      while (event == null && !isTold) {
        look();
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      close();
      throw Status.CANCELLED.withDescription("interrupted").withCause(e).asRuntimeException();
    }
    return event != null;
  }

  /** Returns the next event; throws as {@link #hasNext()} does. */
  @Override
  public Event next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    Event told = event;
    event = null;
    request.setAfter(told.getSequence());
    return told;
  }

  @Override
  public synchronized void close() {
    closed.countDown();
    if (stream != null) {
      stream.cancel();
    }
  }

  private boolean isClosed() {
    return closed.getCount() == 0;
  }

  /** The stream that is open, or a new one; none once this is closed. */
  private synchronized Stream stream() {
    if (stream == null && !isClosed()) {
      stream = new Stream(channel, request.build());
    }
    return stream;
  }

  private void look() throws InterruptedException {
    Stream open = stream();
    Heard heard = open == null ? null : open.hear(silence);
    if (isClosed()) {
      isTold = true;
    } else if (heard == null) {
      openAgainAfter(Refusal.of(Status.UNAVAILABLE.withDescription("nothing was heard"), null));
    } else if (heard.end() != null) {
      openAgainAfter(heard.end());
    } else {
      take(heard.message());
    }
  }

  private void take(StreamEventsResponse message) throws InterruptedException {
    switch (message.getNewsCase()) {
      case EVENT -> {
        failures = 0;
        long sequence = message.getEvent().getSequence();
        if (!request.hasAfter() || sequence > request.getAfter()) {
          refuseGap(sequence - 1);
          event = message.getEvent();
        }
      }
      case HEARTBEAT -> {
        failures = 0;
        if (!request.hasAfter() || message.getPosition() > request.getAfter()) {
          refuseGap(message.getPosition());
          request.setAfter(message.getPosition());
        }
      }
      case END -> {
        if (message.getEnd().getCode() == 0) {
          isTold = true;
        } else {
          openAgainAfter(Refusal.of(message.getEnd()));
        }
      }
      case NEWS_NOT_SET -> {
        // What this version does not know is passed over.
      }
    }
  }

  /** All events up to `position` must have been told, unless only some types are. */
  private void refuseGap(long position) {
    if (request.hasAfter() && request.getTypesCount() == 0 && position != request.getAfter()) {
      close();
      throw new IllegalStateException(
          "events are missing: after %d, up to %d".formatted(request.getAfter(), position));
    }
  }

  private void openAgainAfter(Refusal refusal) throws InterruptedException {
    synchronized (this) {
      stream.cancel();
      stream = null;
    }
    if (refusal.retry() == Refusal.Retry.NEVER) {
      isTold = true;
      throw refusal;
    }
    failures++;
    if (failures > 1) {
      LOG.log(Level.WARNING, "no events, {0} times in a row: {1}", failures, refusal.getStatus());
    }
    closed.await(pauses.after(failures, refusal).toNanos(), TimeUnit.NANOSECONDS);
  }

  /** What a stream said: a message, or why there is none. */
  private record Heard(StreamEventsResponse message, Refusal end) {}

  /** One opened stream, which is asked for a message at a time: the platform does the buffering. */
  private static final class Stream extends ClientCall.Listener<StreamEventsResponse> {
    private final BlockingQueue<Heard> heard = new LinkedBlockingQueue<>();
    private final ClientCall<StreamEventsRequest, StreamEventsResponse> call;

    Stream(Channel channel, StreamEventsRequest request) {
      call = channel.newCall(EventServiceGrpc.getStreamEventsMethod(), CallOptions.DEFAULT);
      call.start(this, new Metadata());
      call.sendMessage(request);
      call.halfClose();
    }

    Heard hear(Duration silence) throws InterruptedException {
      call.request(1);
      return heard.poll(silence.toNanos(), TimeUnit.NANOSECONDS);
    }

    void cancel() {
      call.cancel("the reader is done with it", null);
    }

    @Override
    public void onMessage(StreamEventsResponse message) {
      heard.add(new Heard(message, null));
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      Status end = status.isOk() ? Status.UNAVAILABLE.withDescription("cut off") : status;
      heard.add(new Heard(null, Refusal.of(end, trailers)));
    }
  }
}
