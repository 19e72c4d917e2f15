package dev.reli.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.reli.event.v1.EventServiceGrpc;
import dev.reli.event.v1.StreamEventsRequest;
import dev.reli.ledger.v1.LedgerAdminServiceGrpc;
import dev.reli.quote.v1.AcceptQuoteRequest;
import dev.reli.quote.v1.QuoteServiceGrpc;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.Deadline;
import io.grpc.ForwardingClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class SigningInterceptorTest {
  private static final AcceptQuoteRequest ACCEPT =
      AcceptQuoteRequest.newBuilder().setQuoteId("quote_1").setRequestId("accept-1").build();

  /** The bytes of messages as they went through. */
  private static final MethodDescriptor.Marshaller<byte[]> BYTES =
      new MethodDescriptor.Marshaller<>() {
        @Override
        public InputStream stream(byte[] bytes) {
          return new ByteArrayInputStream(bytes);
        }

        @Override
        public byte[] parse(InputStream stream) {
          try {
            return stream.readAllBytes();
          } catch (IOException e) {
            throw new UncheckedIOException(e);
          }
        }
      };

  private final SigningInterceptor signing =
      new SigningInterceptor(new RequestSigning(new Ed25519Signer("key", new byte[32])));
  private final List<byte[]> received = new ArrayList<>();
  private Server server;

  @AfterEach
  void disconnect() {
    server.close();
  }

  /** Serves one method, refusing every message. */
  private void serve(MethodDescriptor<?, ?> method) throws IOException {
    MethodDescriptor<byte[], byte[]> raw = method.toBuilder(BYTES, BYTES).build();
    String service = method.getServiceName();
    server =
        new Server(
            ServerServiceDefinition.builder(service)
                .addMethod(
                    raw,
                    method.getType() == MethodDescriptor.MethodType.CLIENT_STREAMING
                        ? ServerCalls.asyncClientStreamingCall(SigningInterceptorTest::refuse)
                        : ServerCalls.asyncServerStreamingCall(this::refuse))
                .build());
  }

  private void refuse(byte[] message, StreamObserver<byte[]> observer) {
    received.add(message);
    observer.onError(Refusals.sameRequest());
  }

  private static StreamObserver<byte[]> refuse(StreamObserver<byte[]> observer) {
    observer.onError(Refusals.never());
    return new StreamObserver<>() {
      @Override
      public void onNext(byte[] message) {}

      @Override
      public void onError(Throwable thrown) {}

      @Override
      public void onCompleted() {}
    };
  }

  private static String header(Metadata headers, String name) {
    return headers.get(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER));
  }

  private static String digestOf(byte[] message) {
    byte[] digest = RequestSigning.sha256(message);
    return "sha-256=:" + Base64.getEncoder().encodeToString(digest) + ":";
  }

  @Test
  void theBytesThatAreSentAreSigned() throws Exception {
    serve(QuoteServiceGrpc.getAcceptQuoteMethod());
    var quotes = QuoteServiceGrpc.newBlockingStub(server.channel(signing));
    assertThrows(StatusRuntimeException.class, () -> quotes.acceptQuote(ACCEPT));
    Metadata headers = server.received.get(0);
    assertArrayEquals(ACCEPT.toByteArray(), received.get(0));
    assertEquals(digestOf(received.get(0)), header(headers, "content-digest"));
    String input = header(headers, "signature-input");
    String base =
        "\"@method\": POST\n\"@path\": /reli.quote.v1.QuoteService/AcceptQuote\n"
            + "\"content-digest\": "
            + digestOf(received.get(0))
            + "\n\"@signature-params\": "
            + input.substring("sig1=".length());
    byte[] signature =
        new Ed25519Signer("key", new byte[32]).sign(base.getBytes(StandardCharsets.UTF_8));
    assertEquals(
        "sig1=:" + Base64.getEncoder().encodeToString(signature) + ":",
        header(headers, "signature"));
  }

  @Test
  void theKeyInTheMetadataIsCovered() throws Exception {
    serve(QuoteServiceGrpc.getAcceptQuoteMethod());
    Metadata key = new Metadata();
    key.put(RequestSigning.IDEMPOTENCY_KEY, "accept-1");
    var quotes =
        QuoteServiceGrpc.newBlockingStub(server.channel(signing))
            .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(key));
    assertThrows(StatusRuntimeException.class, () -> quotes.acceptQuote(ACCEPT));
    String input = header(server.received.get(0), "signature-input");
    assertEquals(
        "sig1=(\"@method\" \"@path\" \"idempotency-key\" \"content-digest\")",
        input.substring(0, input.indexOf(';')));
  }

  @Test
  void eachAttemptIsSignedAnew() throws Exception {
    serve(QuoteServiceGrpc.getAcceptQuoteMethod());
    RetryInterceptor twice =
        new RetryInterceptor(
            2,
            Duration.ofSeconds(5),
            Deadline.getSystemTicker(),
            (wait, executor, action) -> executor.execute(action),
            new Pauses(() -> 0.0));
    var quotes = QuoteServiceGrpc.newBlockingStub(server.channel(twice, signing));
    assertThrows(StatusRuntimeException.class, () -> quotes.acceptQuote(ACCEPT));
    assertEquals(2, received.size());
    assertArrayEquals(received.get(0), received.get(1));
    List<String> inputs =
        server.received.stream().map(headers -> header(headers, "signature-input")).toList();
    assertNotEquals(inputs.get(0), inputs.get(1));
    for (Metadata headers : server.received) {
      assertEquals(
          1, count(headers.getAll(Metadata.Key.of("signature", Metadata.ASCII_STRING_MARSHALLER))));
    }
  }

  private static int count(Iterable<String> values) {
    List<String> counted = new ArrayList<>();
    values.forEach(counted::add);
    return counted.size();
  }

  @Test
  void aStreamOfAnswersIsSignedAndOneWithoutContentHasNoDigest() throws Exception {
    serve(EventServiceGrpc.getStreamEventsMethod());
    var events = EventServiceGrpc.newBlockingStub(server.channel(signing));
    assertThrows(
        StatusRuntimeException.class,
        () -> events.streamEvents(StreamEventsRequest.getDefaultInstance()).hasNext());
    String input = header(server.received.get(0), "signature-input");
    assertEquals("sig1=(\"@method\" \"@path\")", input.substring(0, input.indexOf(';')));
    assertNull(header(server.received.get(0), "content-digest"));
  }

  @Test
  void aStreamOfRequestsGoesOutUnsigned() throws Exception {
    serve(LedgerAdminServiceGrpc.getLoadEntriesMethod());
    CompletableFuture<Status> end = new CompletableFuture<>();
    var call =
        server
            .channel(signing)
            .newCall(LedgerAdminServiceGrpc.getLoadEntriesMethod(), CallOptions.DEFAULT);
    call.start(ending(end), new Metadata());
    call.halfClose();
    assertEquals(Status.Code.FAILED_PRECONDITION, end.get(5, TimeUnit.SECONDS).getCode());
    assertFalse(
        server
            .received
            .get(0)
            .containsKey(Metadata.Key.of("signature", Metadata.ASCII_STRING_MARSHALLER)));
  }

  @Test
  void aCallThatIsCanceledBeforeItsMessageEnds() throws Exception {
    serve(QuoteServiceGrpc.getAcceptQuoteMethod());
    CompletableFuture<Status> end = new CompletableFuture<>();
    List<String> started = new ArrayList<>();
    ClientInterceptor remembering =
        new ClientInterceptor() {
          @Override
          public <Q, S> ClientCall<Q, S> interceptCall(
              MethodDescriptor<Q, S> method, CallOptions options, Channel next) {
            return new ForwardingClientCall.SimpleForwardingClientCall<>(
                next.newCall(method, options)) {
              @Override
              public void start(Listener<S> listener, Metadata headers) {
                started.add(method.getFullMethodName());
                super.start(listener, headers);
              }
            };
          }
        };
    var call =
        server
            .channel(signing, remembering)
            .newCall(QuoteServiceGrpc.getAcceptQuoteMethod(), CallOptions.DEFAULT);
    call.start(ending(end), new Metadata());
    call.cancel("changed my mind", null);
    call.sendMessage(ACCEPT);
    call.halfClose();
    assertEquals("changed my mind", end.get(5, TimeUnit.SECONDS).getDescription());
    assertEquals(List.of(), started);
  }

  private static <T> ClientCall.Listener<T> ending(CompletableFuture<Status> end) {
    return new ClientCall.Listener<>() {
      @Override
      public void onClose(Status status, Metadata trailers) {
        end.complete(status);
      }
    };
  }
}
