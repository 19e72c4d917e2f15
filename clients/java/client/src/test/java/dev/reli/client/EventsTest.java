package dev.reli.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reli.event.v1.Event;
import dev.reli.event.v1.EventHeartbeat;
import dev.reli.event.v1.EventServiceGrpc;
import dev.reli.event.v1.StreamEventsRequest;
import dev.reli.event.v1.StreamEventsResponse;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.LongStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
class EventsTest {
  private static final StreamEventsRequest EVERYTHING =
      StreamEventsRequest.newBuilder().setAfter(0).build();

  /** Plays one script for each stream that is opened; one without a script says nothing. */
  private static final class Service extends EventServiceGrpc.EventServiceImplBase {
    private final BlockingQueue<Consumer<StreamObserver<StreamEventsResponse>>> scripts =
        new LinkedBlockingQueue<>();
    private final List<StreamEventsRequest> requests = new CopyOnWriteArrayList<>();

    @Override
    public void streamEvents(
        StreamEventsRequest request, StreamObserver<StreamEventsResponse> observer) {
      requests.add(request);
      Consumer<StreamObserver<StreamEventsResponse>> script = scripts.poll();
      if (script != null) {
        script.accept(observer);
      }
    }
  }

  private final Service service = new Service();
  private Server server;

  @BeforeEach
  void serve() throws IOException {
    server = new Server(service);
  }

  @AfterEach
  void disconnect() {
    server.close();
  }

  private Events events(StreamEventsRequest request) {
    return events(request, Duration.ofSeconds(15));
  }

  private Events events(StreamEventsRequest request, Duration silence) {
    return new Events(server.channel(), request, silence, new Pauses(() -> 0.0));
  }

  private static StreamEventsResponse event(long sequence) {
    return StreamEventsResponse.newBuilder()
        .setEvent(Event.newBuilder().setSequence(sequence))
        .setPosition(sequence)
        .build();
  }

  private static StreamEventsResponse heartbeat(long position) {
    return StreamEventsResponse.newBuilder()
        .setHeartbeat(EventHeartbeat.newBuilder().setLastSequence(position))
        .setPosition(position)
        .build();
  }

  private static StreamEventsResponse end(com.google.rpc.Status status) {
    return StreamEventsResponse.newBuilder().setEnd(status).build();
  }

  private static final StreamEventsResponse TOLD = end(com.google.rpc.Status.getDefaultInstance());
  private static final StreamEventsResponse STREAM_ENDED =
      end(Refusals.status(Status.Code.UNAVAILABLE, "STREAM_ENDED", "same_request"));

  /** Says these things and leaves the stream open. */
  private void script(StreamEventsResponse... messages) {
    service.scripts.add(observer -> List.of(messages).forEach(observer::onNext));
  }

  private void script(StatusRuntimeException end, StreamEventsResponse... messages) {
    service.scripts.add(
        observer -> {
          List.of(messages).forEach(observer::onNext);
          observer.onError(end);
        });
  }

  private static List<Long> sequences(Iterable<Event> events) {
    List<Long> sequences = new ArrayList<>();
    events.forEach(event -> sequences.add(event.getSequence()));
    return sequences;
  }

  private List<Long> afters() {
    return service.requests.stream().map(StreamEventsRequest::getAfter).toList();
  }

  private static List<Long> upTo(long last) {
    return LongStream.rangeClosed(1, last).boxed().toList();
  }

  @Test
  void heartbeatsArePassedOverAndARangeEnds() {
    script(heartbeat(0), event(1), heartbeat(1), event(2), TOLD);
    try (Events events = events(EVERYTHING)) {
      assertEquals(upTo(2), sequences(events));
      assertEquals(2, events.position());
      assertThrows(NoSuchElementException.class, events::next);
    }
  }

  @Test
  void aStreamThatEndsOrIsCutIsOpenedAgainWhereItWas() {
    script(event(1), event(2), STREAM_ENDED);
    script(Refusals.broken(), event(3));
    service.scripts.add(StreamObserver::onCompleted);
    script(event(4), TOLD);
    try (Events events = events(EVERYTHING)) {
      assertEquals(upTo(4), sequences(events));
    }
    assertEquals(List.of(0L, 2L, 3L, 3L), afters());
  }

  @Test
  void aStreamThatSaysNothingIsOpenedAgain() {
    script(event(1));
    script(event(2), TOLD);
    try (Events events = events(EVERYTHING, Duration.ofMillis(100))) {
      assertEquals(upTo(2), sequences(events));
    }
    assertEquals(List.of(0L, 1L), afters());
  }

  @Test
  void whatWasToldIsNotToldAgain() {
    script(event(1), event(2), STREAM_ENDED);
    script(event(1), event(2), event(3), TOLD);
    try (Events events = events(EVERYTHING)) {
      assertEquals(upTo(3), sequences(events));
    }
  }

  @Test
  void aGapIsAnError() {
    script(event(1), event(3));
    try (Events events = events(EVERYTHING)) {
      events.next();
      assertThrows(IllegalStateException.class, events::hasNext);
    }
  }

  @Test
  void aHeartbeatBeyondWhatWasToldIsAGapToo() {
    script(event(1), heartbeat(2));
    try (Events events = events(EVERYTHING)) {
      events.next();
      assertThrows(IllegalStateException.class, events::hasNext);
    }
  }

  @Test
  void whereOnlySomeTypesAreToldTheOthersLeaveNoGap() {
    StreamEventsRequest trades = EVERYTHING.toBuilder().addTypes("trade.*").build();
    script(event(3), heartbeat(7), STREAM_ENDED);
    script(event(9), TOLD);
    try (Events events = events(trades)) {
      assertEquals(List.of(3L, 9L), sequences(events));
    }
    assertEquals(List.of(0L, 7L), afters());
    assertEquals(List.of("trade.*"), service.requests.get(1).getTypesList());
  }

  @Test
  void fromNowOnBeginsWhereTheFirstHeartbeatSays() {
    script(heartbeat(41), STREAM_ENDED);
    script(event(42), TOLD);
    try (Events events = events(StreamEventsRequest.getDefaultInstance())) {
      assertEquals(List.of(42L), sequences(events));
    }
    assertFalse(service.requests.get(0).hasAfter());
    assertEquals(41, service.requests.get(1).getAfter());
  }

  @Test
  void aRefusalInTheEndIsThrown() {
    script(event(1), end(Refusals.status(Status.Code.UNAUTHENTICATED, "API_KEY_REVOKED", "never")));
    try (Events events = events(EVERYTHING)) {
      events.next();
      assertEquals("API_KEY_REVOKED", assertThrows(Refusal.class, events::hasNext).reason());
      assertFalse(events.hasNext());
    }
    assertEquals(1, service.requests.size());
  }

  @Test
  void aRefusalInsteadOfAStreamIsThrown() {
    script(Refusals.never());
    try (Events events = events(EVERYTHING)) {
      assertEquals("INSUFFICIENT_FUNDS", assertThrows(Refusal.class, events::next).reason());
    }
  }

  @Test
  void whoIsToComeLaterComesLater() {
    script(Refusals.later(1));
    script(event(1), TOLD);
    try (Events events = events(EVERYTHING)) {
      assertEquals(upTo(1), sequences(events));
    }
  }

  @Test
  void aReaderThatWaitsIsEndedByClosing() throws Exception {
    script(heartbeat(0));
    Events events = events(EVERYTHING);
    CompletableFuture<Boolean> hasNext = CompletableFuture.supplyAsync(events::hasNext);
    while (service.requests.isEmpty()) {
      Thread.onSpinWait();
    }
    events.close();
    assertFalse(hasNext.get(10, TimeUnit.SECONDS));
    assertFalse(events.hasNext());
  }

  @Test
  void aReaderThatIsInterruptedIsTold() {
    try (Events events = events(EVERYTHING)) {
      Thread.currentThread().interrupt();
      StatusRuntimeException thrown = assertThrows(StatusRuntimeException.class, events::hasNext);
      assertEquals(Status.Code.CANCELLED, thrown.getStatus().getCode());
      assertTrue(Thread.interrupted());
    }
  }
}
