package dev.reli.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reli.event.v1.Event;
import dev.reli.event.v1.EventServiceGrpc;
import dev.reli.event.v1.StreamEventsRequest;
import dev.reli.event.v1.StreamEventsResponse;
import dev.reli.tenant.v1.CustomerServiceGrpc;
import dev.reli.tenant.v1.GetCustomerRequest;
import dev.reli.tenant.v1.GetCustomerResponse;
import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
class ReliTest {
  private static final String KEY = "reli_a-key-that-is-a-secret";

  private final List<Metadata> received = new CopyOnWriteArrayList<>();
  private final List<Long> leftMs = new CopyOnWriteArrayList<>();
  private final List<StatusRuntimeException> plan = new CopyOnWriteArrayList<>();
  private Server server;

  /** Refuses as planned, then answers. */
  private final class Service extends CustomerServiceGrpc.CustomerServiceImplBase {
    @Override
    public void getCustomer(
        GetCustomerRequest request, StreamObserver<GetCustomerResponse> observer) {
      leftMs.add(Context.current().getDeadline().timeRemaining(TimeUnit.MILLISECONDS));
      if (plan.isEmpty()) {
        observer.onNext(GetCustomerResponse.getDefaultInstance());
        observer.onCompleted();
      } else {
        observer.onError(plan.remove(0));
      }
    }
  }

  /** Tells one event. */
  private static final class Log extends EventServiceGrpc.EventServiceImplBase {
    @Override
    public void streamEvents(
        StreamEventsRequest request, StreamObserver<StreamEventsResponse> observer) {
      Event event = Event.newBuilder().setSequence(request.getAfter() + 1).build();
      observer.onNext(StreamEventsResponse.newBuilder().setEvent(event).build());
    }
  }

  @BeforeEach
  void serve() throws Exception {
    ServerInterceptor remembering =
        new ServerInterceptor() {
          @Override
          public <Q, S> ServerCall.Listener<Q> interceptCall(
              ServerCall<Q, S> call, Metadata headers, ServerCallHandler<Q, S> next) {
            received.add(headers);
            return next.startCall(call, headers);
          }
        };
    server =
        NettyServerBuilder.forAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
            .addService(new Service())
            .addService(new Log())
            .intercept(remembering)
            .build()
            .start();
  }

  @AfterEach
  void stop() {
    server.shutdownNow();
  }

  private String url() {
    return "http://127.0.0.1:" + server.getPort();
  }

  private static void call(Reli reli) {
    CustomerServiceGrpc.newBlockingStub(reli).getCustomer(GetCustomerRequest.getDefaultInstance());
  }

  private static String header(Metadata headers, String name) {
    return headers.get(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER));
  }

  @Test
  void aCallHasTheKeyAndADeadline() {
    try (Reli reli = Reli.connect(url(), KEY)) {
      call(reli);
    }
    assertEquals("Bearer " + KEY, header(received.get(0), "authorization"));
    assertFalse(received.get(0).keys().contains("signature"));
    assertTrue(leftMs.get(0) <= 5_000, leftMs.toString());
  }

  @Test
  void everyAttemptIsAuthorizedAndSignedOnce() {
    plan.add(Refusals.broken());
    Signer signer = new Ed25519Signer("requestsigningkey_1", new byte[32]);
    Reli.Builder signing = Reli.at(url(), KEY).signer(signer).timeout(Duration.ofSeconds(60));
    try (Reli reli = signing.connect()) {
      call(reli);
    }
    assertEquals(2, received.size());
    assertTrue(leftMs.get(0) > 5_000 && leftMs.get(0) <= 60_000, leftMs.toString());
    for (Metadata headers : received) {
      assertEquals("Bearer " + KEY, header(headers, "authorization"));
      assertTrue(header(headers, "signature-input").contains("requestsigningkey_1"));
    }
  }

  @Test
  void eventsAreReadOverASignedConnection() {
    Signer signer = new Ed25519Signer("requestsigningkey_1", new byte[32]);
    StreamEventsRequest request = StreamEventsRequest.newBuilder().setAfter(7).build();
    try (Reli reli = Reli.at(url(), KEY).signer(signer).connect();
        Events events = new Events(reli, request)) {
      assertEquals(8, events.next().getSequence());
    }
    assertEquals(1, received.size());
    assertTrue(header(received.get(0), "signature-input").contains("content-digest"));
  }

  @Test
  void oneAttemptIsOne() {
    plan.add(Refusals.broken());
    try (Reli reli = Reli.at(url(), KEY).attempts(1).connect()) {
      StatusRuntimeException thrown = assertThrows(StatusRuntimeException.class, () -> call(reli));
      assertEquals(Status.Code.UNAVAILABLE, thrown.getStatus().getCode());
    }
    assertEquals(1, received.size());
  }

  @Test
  void theKeyIsNotInItsText() {
    try (Reli reli = Reli.connect(url(), KEY)) {
      assertEquals("Reli[" + url() + "]", reli.toString());
      assertFalse(Reli.at(url(), KEY).toString().contains(KEY));
    }
  }

  @Test
  void whatIsNoAddressIsNotTaken() {
    for (String url :
        List.of("ftp://127.0.0.1:1", "127.0.0.1:1", "https://", "https://a b", "reli")) {
      assertThrows(IllegalArgumentException.class, () -> Reli.connect(url, KEY), url);
    }
    Reli.Builder nowhere =
        Reli.at("https://127.0.0.1:1", KEY).rootCertificates(Path.of("/nowhere.pem"));
    assertThrows(UncheckedIOException.class, nowhere::connect);
  }
}
