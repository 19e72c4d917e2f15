package dev.reli.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.rpc.ErrorInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import org.junit.jupiter.api.Test;

class RefusalTest {
  private static final Metadata.Key<byte[]> DETAILS =
      Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);

  @Test
  void whatAStubThrewIsRead() {
    StatusRuntimeException thrown = Refusals.never();
    Refusal refusal = Refusal.of(thrown);
    assertEquals("INSUFFICIENT_FUNDS", refusal.reason());
    assertEquals(Refusal.Retry.NEVER, refusal.retry());
    assertEquals(Map.of("retry", "never"), refusal.metadata());
    assertEquals(Status.Code.FAILED_PRECONDITION, refusal.getStatus().getCode());
    assertEquals("FAILED_PRECONDITION: for people", refusal.getMessage());
    assertEquals(Duration.ZERO, refusal.delay());
    assertSame(thrown, refusal.getCause());
    assertSame(refusal, Refusal.of(refusal));
  }

  @Test
  void theDelayIsThatOfTheRetryInfo() {
    Refusal refusal = Refusal.of(Refusals.later(700));
    assertEquals(Refusal.Retry.LATER, refusal.retry());
    assertEquals(Duration.ofMillis(700), refusal.delay());
  }

  @Test
  void theCauseOfAFailedFutureIsRead() {
    assertEquals(
        "INSUFFICIENT_FUNDS", Refusal.of(new ExecutionException(Refusals.never())).reason());
  }

  @Test
  void aBrokenConnectionHasNoReasonAndMayBeTriedAgain() {
    Refusal refusal = Refusal.of(Refusals.broken());
    assertEquals("", refusal.reason());
    assertEquals(Refusal.Retry.SAME_REQUEST, refusal.retry());
  }

  @Test
  void aRefusalWithoutAWordOnRetriesMayBeTriedAgain() {
    com.google.rpc.Status end =
        com.google.rpc.Status.newBuilder()
            .setCode(Status.Code.ABORTED.value())
            .addDetails(Any.pack(ErrorInfo.newBuilder().setReason("NEWS").build()))
            .build();
    assertEquals("NEWS", Refusal.of(end).reason());
    assertEquals(Refusal.Retry.SAME_REQUEST, Refusal.of(end).retry());
  }

  @Test
  void detailsThatCannotBeReadAreNone() {
    Metadata garbage = new Metadata();
    garbage.put(DETAILS, new byte[] {-1, -1});
    assertEquals("", Refusal.of(Status.ABORTED.asRuntimeException(garbage)).reason());
    Any info = Any.pack(ErrorInfo.getDefaultInstance());
    Any broken = info.toBuilder().setValue(ByteString.copyFrom(new byte[] {-1})).build();
    assertEquals(
        "", Refusal.of(com.google.rpc.Status.newBuilder().addDetails(broken).build()).reason());
  }
}
