package dev.reli.client;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.TimeUnit;

/**
 * Sends a unary call again as the refusal's retry class says, within one deadline for all attempts.
 *
 * <p>A call whose message has an empty {@code request_id}, and no key in the metadata either, is
 * sent once: repeated it might have its effect twice.
 *
 * @param attempts how often a call is sent at most, from 1
 * @param timeout the deadline of calls that have none
 * @param ticker what the deadline is measured with
 */
record RetryInterceptor(
    int attempts, Duration timeout, Deadline.Ticker ticker, Timer timer, Pauses pauses)
    implements ClientInterceptor {

  /** Runs something after a while. */
  interface Timer {
    Timer SYSTEM =
        (wait, executor, action) ->
            CompletableFuture.delayedExecutor(wait.toNanos(), TimeUnit.NANOSECONDS, executor)
                .execute(action);

    void after(Duration wait, Executor executor, Runnable action);
  }

  @Override
  public <ReqT, RespT> ClientCall<ReqT, RespT> interceptCall(
      MethodDescriptor<ReqT, RespT> method, CallOptions options, Channel next) {
    if (method.getType() != MethodDescriptor.MethodType.UNARY) {
      return next.newCall(method, options);
    }
    if (options.getDeadline() != null) {
      return new RepeatedCall<>(method, options, next);
    }
    Deadline deadline = Deadline.after(timeout.toNanos(), TimeUnit.NANOSECONDS, ticker);
    return new RepeatedCall<>(method, options.withDeadline(deadline), next);
  }

  private static boolean isRepeatable(Object request, Metadata headers) {
    if (headers.containsKey(RequestSigning.IDEMPOTENCY_KEY)) {
      return true;
    }
    if (!(request instanceof Message message)) {
      return false;
    }
    FieldDescriptor key = message.getDescriptorForType().findFieldByName("request_id");
    return key == null || !message.getField(key).equals("");
  }

  /** One call to whoever made it, several to the channel; `this` guards what changes. */
  private final class RepeatedCall<ReqT, RespT> extends ClientCall<ReqT, RespT> {
    private final MethodDescriptor<ReqT, RespT> method;
    private final CallOptions options;
    private final Channel next;
    private final Executor executor;
    private final Context context = Context.current();
    private Listener<RespT> listener;
    private Metadata headers;
    private ReqT request;
    private ClientCall<ReqT, RespT> live;
    private int made;
    private boolean isLost;
    private boolean isCanceled;

    RepeatedCall(MethodDescriptor<ReqT, RespT> method, CallOptions options, Channel next) {
      this.method = method;
      this.options = options;
      this.next = next;
      // That of a blocking stub runs what it is given in the thread that waits.
      Executor chosen = options.getExecutor();
      this.executor = chosen == null ? ForkJoinPool.commonPool() : chosen;
    }

    @Override
    public void start(Listener<RespT> listener, Metadata headers) {
      this.listener = listener;
      this.headers = headers;
    }

    @Override
    public void request(int messages) {
      // Each attempt asks for the one answer there is, and it is handed on when the call has ended.
    }

    @Override
    public void sendMessage(ReqT message) {
      request = message;
    }

    @Override
    public void halfClose() {
      attempt();
    }

    private synchronized void attempt() {
      if (isCanceled) {
        return;
      }
      made++;
      ClientCall<ReqT, RespT> call = next.newCall(method, options);
      live = call;
      Metadata copy = new Metadata();
      copy.merge(headers);
      call.start(new Answer(), copy);
      call.request(2);
      call.sendMessage(request);
      call.halfClose();
    }

    private void attemptAgain() {
      try {
        attempt();
      } catch (RuntimeException e) {
        listener.onClose(Status.INTERNAL.withCause(e), new Metadata());
      }
    }

    @Override
    public void cancel(String message, Throwable cause) {
      ClientCall<ReqT, RespT> canceled;
      synchronized (this) {
        if (isCanceled) {
          return;
        }
        isCanceled = true;
        canceled = live;
      }
      if (canceled != null) {
        canceled.cancel(message, cause);
      } else if (listener != null) {
        Status status = Status.CANCELLED.withDescription(message).withCause(cause);
        executor.execute(() -> listener.onClose(status, new Metadata()));
      }
    }

    /** Whether the call is sent again, in a while, instead of telling its refusal. */
    private synchronized boolean isRepeated(Status status, Metadata trailers) {
      if (made >= attempts || isCanceled || context.isCancelled()) {
        return false;
      }
      Refusal refusal = Refusal.of(status, trailers);
      if (refusal.retry() == Refusal.Retry.NEVER || !isRepeatable(request, headers)) {
        return false;
      }
      Duration wait = pauses.after(made, refusal);
      long left = options.getDeadline().timeRemaining(TimeUnit.NANOSECONDS);
      if (wait.compareTo(Duration.ofNanos(left)) >= 0) {
        return false;
      }
      live = null;
      isLost |= refusal.retry() == Refusal.Retry.SAME_REQUEST;
      timer.after(wait, executor, context.wrap(this::attemptAgain));
      return true;
    }

    private synchronized boolean wasLost() {
      return isLost;
    }

    /** The answer to one attempt, kept until it is known to be the last. */
    private final class Answer extends Listener<RespT> {
      private Metadata received = new Metadata();
      private final List<RespT> messages = new ArrayList<>(1);

      @Override
      public void onHeaders(Metadata headers) {
        received = headers;
      }

      @Override
      public void onMessage(RespT message) {
        messages.add(message);
      }

      @Override
      public void onClose(Status status, Metadata trailers) {
        if (!status.isOk() && isRepeated(status, trailers)) {
          return;
        }
        if (status.isOk()) {
          listener.onHeaders(received);
          messages.forEach(listener::onMessage);
        } else if (wasLost()) {
          trailers.put(Refusal.AN_ATTEMPT_WAS_LOST, "true");
        }
        listener.onClose(status, trailers);
      }
    }
  }
}
