package dev.reli.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reli.tenant.v1.CreateCustomerRequest;
import dev.reli.tenant.v1.CreateCustomerResponse;
import dev.reli.tenant.v1.Customer;
import dev.reli.tenant.v1.CustomerServiceGrpc;
import dev.reli.tenant.v1.GetCustomerRequest;
import dev.reli.tenant.v1.GetCustomerResponse;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Deadline;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class RetryInterceptorTest {
  private static final Customer AMINA = Customer.newBuilder().setExternalId("amina").build();

  /** Refuses as planned, then answers. */
  private static final class Service extends CustomerServiceGrpc.CustomerServiceImplBase {
    private final Queue<StatusRuntimeException> plan = new ArrayDeque<>();
    private final List<Object> received = new ArrayList<>();

    @Override
    public synchronized void createCustomer(
        CreateCustomerRequest request, StreamObserver<CreateCustomerResponse> observer) {
      answer(request, observer, CreateCustomerResponse.newBuilder().setCustomer(AMINA).build());
    }

    @Override
    public synchronized void getCustomer(
        GetCustomerRequest request, StreamObserver<GetCustomerResponse> observer) {
      answer(request, observer, GetCustomerResponse.newBuilder().setCustomer(AMINA).build());
    }

    private <T> void answer(Object request, StreamObserver<T> observer, T answer) {
      received.add(request);
      if (plan.isEmpty()) {
        observer.onNext(answer);
        observer.onCompleted();
      } else {
        observer.onError(plan.remove());
      }
    }
  }

  private final Service service = new Service();
  private final AtomicLong now = new AtomicLong();
  private final Deadline.Ticker ticker =
      new Deadline.Ticker() {
        @Override
        public long nanoTime() {
          return now.get();
        }
      };
  private final List<Duration> waits = new ArrayList<>();
  private final BlockingQueue<Runnable> paused = new LinkedBlockingQueue<>();
  private boolean isTimePassing = true;
  private Server server;
  private CustomerServiceGrpc.CustomerServiceBlockingStub customers;

  @BeforeEach
  void connect() throws IOException {
    server = new Server(service);
    customers = customers(1.0);
  }

  @AfterEach
  void disconnect() {
    server.close();
  }

  private CustomerServiceGrpc.CustomerServiceBlockingStub customers(double chance) {
    return CustomerServiceGrpc.newBlockingStub(server.channel(retry(chance)));
  }

  private RetryInterceptor retry(double chance) {
    RetryInterceptor.Timer timer =
        (wait, executor, action) -> {
          waits.add(wait);
          if (isTimePassing) {
            now.addAndGet(wait.toNanos());
            executor.execute(action);
          } else {
            paused.add(action);
          }
        };
    return new RetryInterceptor(4, Duration.ofSeconds(5), ticker, timer, new Pauses(() -> chance));
  }

  private void plan(StatusRuntimeException... refusals) {
    service.plan.addAll(List.of(refusals));
  }

  private static CreateCustomerRequest create(String requestId) {
    return CreateCustomerRequest.newBuilder()
        .setExternalId("amina")
        .setRequestId(requestId)
        .build();
  }

  private static List<Duration> milliseconds(int... milliseconds) {
    return Arrays.stream(milliseconds).mapToObj(Duration::ofMillis).toList();
  }

  @Test
  void theSameRequestIsSentAgainAfterGrowingPauses() {
    plan(Refusals.sameRequest(), Refusals.broken(), Refusals.sameRequest());
    assertEquals(AMINA, customers.createCustomer(create("amina-1")).getCustomer());
    assertEquals(milliseconds(200, 400, 800), waits);
    assertEquals(List.of(create("amina-1")), service.received.stream().distinct().toList());
  }

  @Test
  void thePauseIsAnyPartOfTheWhole() {
    plan(Refusals.sameRequest());
    customers(0.25).createCustomer(create("amina-1"));
    assertEquals(milliseconds(50), waits);
  }

  @Test
  void thePauseGrowsToTwoSeconds() {
    Refusal refusal = Refusal.of(Refusals.sameRequest());
    Pauses pauses = new Pauses(() -> 1.0);
    assertEquals(Duration.ofMillis(1600), pauses.after(4, refusal));
    assertEquals(Duration.ofSeconds(2), pauses.after(5, refusal));
    assertEquals(Duration.ofSeconds(2), pauses.after(1_000_000, refusal));
  }

  @Test
  void whatNeverChangesIsToldAtOnce() {
    plan(Refusals.never());
    StatusRuntimeException thrown =
        assertThrows(
            StatusRuntimeException.class, () -> customers.createCustomer(create("amina-1")));
    assertEquals("INSUFFICIENT_FUNDS", Refusal.of(thrown).reason());
    assertEquals(List.of(), waits);
  }

  @Test
  void aRefusalTellsWhetherAnAttemptMayHaveHadItsEffect() {
    assertTrue(isInDoubtAfter(Refusals.broken(), Refusals.revoked()));
    assertFalse(isInDoubtAfter(Refusals.broken(), Refusals.never()));
    assertFalse(isInDoubtAfter(Refusals.revoked()));
    assertFalse(isInDoubtAfter(Refusals.never()));
    assertTrue(
        isInDoubtAfter(
            Refusals.broken(), Refusals.broken(), Refusals.broken(), Refusals.broken()));
  }

  private boolean isInDoubtAfter(StatusRuntimeException... refusals) {
    plan(refusals);
    StatusRuntimeException thrown =
        assertThrows(
            StatusRuntimeException.class, () -> customers.createCustomer(create("amina-1")));
    return Refusal.of(thrown).isInDoubt();
  }

  @Test
  void laterIsWhenTheRefusalSaysAndALittleMore() {
    plan(Refusals.later(700));
    customers.createCustomer(create("amina-1"));
    assertEquals(milliseconds(900), waits);
  }

  @Test
  void thereAreNoMoreAttemptsThanGiven() {
    plan(Refusals.sameRequest(), Refusals.sameRequest(), Refusals.sameRequest(), Refusals.later(1));
    StatusRuntimeException thrown =
        assertThrows(
            StatusRuntimeException.class, () -> customers.createCustomer(create("amina-1")));
    assertEquals("RATE_LIMITED", Refusal.of(thrown).reason());
    assertEquals(4, service.received.size());
  }

  @Test
  void aPauseThatDoesNotFitIntoTheDeadlineIsNotMade() {
    plan(Refusals.later(900), Refusals.later(900));
    Deadline deadline = Deadline.after(1500, TimeUnit.MILLISECONDS, ticker);
    StatusRuntimeException thrown =
        assertThrows(
            StatusRuntimeException.class,
            () -> customers.withDeadline(deadline).createCustomer(create("amina-1")));
    assertEquals("RATE_LIMITED", Refusal.of(thrown).reason());
    assertEquals(milliseconds(1100), waits);
  }

  @Test
  void aCallWithoutADeadlineHasThatOfTheConnection() {
    plan(Refusals.later(2000), Refusals.later(2000), Refusals.later(2000));
    assertThrows(StatusRuntimeException.class, () -> customers.createCustomer(create("amina-1")));
    assertEquals(milliseconds(2200, 2400), waits);
  }

  @Test
  void aCallWithoutItsKeyIsSentOnce() {
    plan(Refusals.broken());
    assertThrows(StatusRuntimeException.class, () -> customers.createCustomer(create("")));
    assertEquals(1, service.received.size());
  }

  @Test
  void aKeyInTheMetadataWillDo() {
    plan(Refusals.broken());
    Metadata key = new Metadata();
    key.put(RequestSigning.IDEMPOTENCY_KEY, "amina-1");
    customers
        .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(key))
        .createCustomer(create(""));
    assertEquals(2, service.received.size());
    for (Metadata received : server.received) {
      assertEquals("amina-1", received.get(RequestSigning.IDEMPOTENCY_KEY));
    }
  }

  @Test
  void aCallThatTakesNoKeyIsSentAgain() {
    plan(Refusals.broken());
    customers.getCustomer(GetCustomerRequest.getDefaultInstance());
    assertEquals(2, service.received.size());
  }

  @Test
  void aFutureIsRepeatedAlike() throws Exception {
    plan(Refusals.sameRequest());
    var future =
        CustomerServiceGrpc.newFutureStub(server.channel(retry(1.0)))
            .createCustomer(create("amina-1"));
    assertEquals(AMINA, future.get(5, TimeUnit.SECONDS).getCustomer());
  }

  @Test
  void aCallThatIsCanceledInAPauseEnds() throws Exception {
    plan(Refusals.sameRequest());
    isTimePassing = false;
    CompletableFuture<Status> end = new CompletableFuture<>();
    var call =
        server
            .channel(retry(1.0))
            .newCall(CustomerServiceGrpc.getCreateCustomerMethod(), CallOptions.DEFAULT);
    call.start(
        new ClientCall.Listener<>() {
          @Override
          public void onClose(Status status, Metadata trailers) {
            end.complete(status);
          }
        },
        new Metadata());
    call.sendMessage(create("amina-1"));
    call.halfClose();
    Runnable again = paused.poll(10, TimeUnit.SECONDS);
    call.cancel("changed my mind", null);
    assertEquals("changed my mind", end.get(10, TimeUnit.SECONDS).getDescription());
    again.run();
    assertEquals(1, service.received.size());
  }

  @Test
  void anAttemptThatCannotBeMadeEndsTheCall() {
    plan(Refusals.sameRequest());
    List<Integer> made = new ArrayList<>();
    Signer failing =
        new Signer() {
          @Override
          public String keyId() {
            return "key";
          }

          @Override
          public String algorithm() {
            return "ed25519";
          }

          @Override
          public byte[] sign(byte[] text) {
            made.add(1);
            if (made.size() > 1) {
              throw new IllegalStateException("the key is gone");
            }
            return text;
          }
        };
    var signed =
        CustomerServiceGrpc.newFutureStub(
            server.channel(retry(1.0), new SigningInterceptor(new RequestSigning(failing))));
    var future = signed.createCustomer(create("amina-1"));
    ExecutionException thrown =
        assertThrows(ExecutionException.class, () -> future.get(5, TimeUnit.SECONDS));
    assertEquals(Status.Code.INTERNAL, Status.fromThrowable(thrown).getCode());
    assertEquals("the key is gone", Status.fromThrowable(thrown).getCause().getMessage());
  }
}
