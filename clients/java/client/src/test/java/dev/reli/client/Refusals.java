package dev.reli.client;

import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;

/** Refusals as the platform sends them. */
final class Refusals {
  private Refusals() {}

  static com.google.rpc.Status status(Status.Code code, String reason, String retry) {
    ErrorInfo info =
        ErrorInfo.newBuilder()
            .setReason(reason)
            .setDomain("reli.dev")
            .putMetadata("retry", retry)
            .build();
    return com.google.rpc.Status.newBuilder()
        .setCode(code.value())
        .setMessage("for people")
        .addDetails(Any.pack(info))
        .build();
  }

  static StatusRuntimeException never() {
    return StatusProto.toStatusRuntimeException(
        status(Status.Code.FAILED_PRECONDITION, "INSUFFICIENT_FUNDS", "never"));
  }

  static StatusRuntimeException revoked() {
    return StatusProto.toStatusRuntimeException(
        status(Status.Code.UNAUTHENTICATED, "API_KEY_REVOKED", "never"));
  }

  static StatusRuntimeException sameRequest() {
    return StatusProto.toStatusRuntimeException(
        status(Status.Code.ABORTED, "REQUEST_IN_PROGRESS", "same_request"));
  }

  static StatusRuntimeException later(int milliseconds) {
    RetryInfo info =
        RetryInfo.newBuilder()
            .setRetryDelay(
                Duration.newBuilder()
                    .setSeconds(milliseconds / 1000)
                    .setNanos(milliseconds % 1000 * 1_000_000))
            .build();
    return StatusProto.toStatusRuntimeException(
        status(Status.Code.RESOURCE_EXHAUSTED, "RATE_LIMITED", "later").toBuilder()
            .addDetails(Any.pack(info))
            .build());
  }

  static StatusRuntimeException broken() {
    return Status.UNAVAILABLE.asRuntimeException(new Metadata());
  }
}
