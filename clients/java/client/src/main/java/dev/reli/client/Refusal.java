package dev.reli.client;

import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.Map;

/**
 * What the platform, or the way to it, said instead of an answer.
 *
 * <p>Stubs throw {@link StatusRuntimeException}; {@link #of(Throwable)} reads it. Build on {@link
 * #reason()} and {@link #metadata()}, never on the message; treat a reason that you do not know by
 * its {@link #retry()}.
 */
public final class Refusal extends StatusRuntimeException {
  private static final long serialVersionUID = 1;

  private static final Metadata.Key<byte[]> DETAILS =
      Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);

  /** Set by {@link RetryInterceptor}, who alone knows of earlier attempts. */
  static final Metadata.Key<String> AN_ATTEMPT_WAS_LOST =
      Metadata.Key.of("reli-client-attempt-lost", Metadata.ASCII_STRING_MARSHALLER);

  /** What a program may do without knowing the reason. */
  public enum Retry {
    /** The same call gets the same answer. */
    NEVER,
    /** Nothing was decided, or it cannot be known: send the same request again. */
    SAME_REQUEST,
    /** Wait for {@link Refusal#delay()}, then send the same request again. */
    LATER
  }

  private final ErrorInfo info;
  private final Duration delay;

  private Refusal(Status status, Metadata trailers, com.google.rpc.Status details) {
    super(status, trailers);
    this.info = detail(details, ErrorInfo.getDefaultInstance());
    this.delay = detail(details, RetryInfo.getDefaultInstance()).getRetryDelay();
  }

  /** Reads what a stub threw; its cause will do as well, such as that of an ExecutionException. */
  public static Refusal of(Throwable thrown) {
    if (thrown instanceof Refusal refusal) {
      return refusal;
    }
    Status status = Status.fromThrowable(thrown).withCause(thrown);
    return of(status, Status.trailersFromThrowable(thrown));
  }

  static Refusal of(Status status, Metadata trailers) {
    byte[] details = trailers == null ? null : trailers.get(DETAILS);
    try {
      return new Refusal(
          status,
          trailers,
          details == null
              ? com.google.rpc.Status.getDefaultInstance()
              : com.google.rpc.Status.parseFrom(details));
    } catch (InvalidProtocolBufferException e) {
      return new Refusal(status, trailers, com.google.rpc.Status.getDefaultInstance());
    }
  }

  /** Reads the last message of a stream, which says why the platform ends it. */
  static Refusal of(com.google.rpc.Status end) {
    Status status = Status.fromCodeValue(end.getCode()).withDescription(end.getMessage());
    return new Refusal(status, null, end);
  }

  private static <M extends com.google.protobuf.Message> M detail(
      com.google.rpc.Status details, M absent) {
    for (Any detail : details.getDetailsList()) {
      if (detail.is(absent.getClass())) {
        try {
          @SuppressWarnings("unchecked")
          M found = (M) detail.unpack(absent.getClass());
          return found;
        } catch (InvalidProtocolBufferException e) {
          return absent;
        }
      }
    }
    return absent;
  }

  /**
   * The stable name, such as INSUFFICIENT_FUNDS; empty where it was not the platform that spoke.
   */
  public String reason() {
    return info.getReason();
  }

  /** What may be done; {@link Retry#SAME_REQUEST} where it is not said. */
  public Retry retry() {
    return switch (metadata().getOrDefault("retry", "")) {
      case "never" -> Retry.NEVER;
      case "later" -> Retry.LATER;
      default -> Retry.SAME_REQUEST;
    };
  }

  /**
   * Whether the call may have taken effect all the same: the answer to one of its attempts was lost,
   * and nothing that was heard since tells its outcome. Ask for that by sending the call again under
   * the same request id. It means nothing where a call only reads.
   */
  public boolean isInDoubt() {
    Metadata trailers = getTrailers();
    boolean isLost =
        retry() == Retry.SAME_REQUEST
            || (trailers != null && trailers.containsKey(AN_ATTEMPT_WAS_LOST));
    return isLost && !isOutcome();
  }

  /**
   * Whether it is kept under its request id like an answer: a call that had taken effect would have
   * been answered with that effect, however often it was sent.
   */
  private boolean isOutcome() {
    Status.Code code = getStatus().getCode();
    return code == Status.Code.FAILED_PRECONDITION || code == Status.Code.ALREADY_EXISTS;
  }

  /** What the message says, by name. */
  public Map<String, String> metadata() {
    return info.getMetadataMap();
  }

  /** How long to wait before the request is sent again; zero where it is not said. */
  public java.time.Duration delay() {
    return java.time.Duration.ofSeconds(delay.getSeconds(), delay.getNanos());
  }
}
