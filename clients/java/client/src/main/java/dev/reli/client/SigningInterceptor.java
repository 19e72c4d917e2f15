package dev.reli.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;

/**
 * Signs each call that sends one message; a stream of requests cannot be signed and is sent as it
 * is.
 *
 * <p>Metadata goes out before the message, so the call is started once the message is there. It is
 * serialized here and goes down as bytes: those that are signed are those that are sent.
 */
record SigningInterceptor(RequestSigning signing) implements ClientInterceptor {
  private static final MethodDescriptor.Marshaller<byte[]> BYTES =
      new MethodDescriptor.Marshaller<>() {
        @Override
        public InputStream stream(byte[] bytes) {
          return new ByteArrayInputStream(bytes);
        }

        @Override
        public byte[] parse(InputStream stream) {
          return bytesOf(stream);
        }
      };

  private static byte[] bytesOf(InputStream stream) {
    try (stream) {
      return stream.readAllBytes();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Override
  public <ReqT, RespT> ClientCall<ReqT, RespT> interceptCall(
      MethodDescriptor<ReqT, RespT> method, CallOptions options, Channel next) {
    if (!method.getType().clientSendsOneMessage()) {
      return next.newCall(method, options);
    }
    MethodDescriptor<byte[], RespT> raw =
        method.toBuilder(BYTES, method.getResponseMarshaller()).build();
    return new SignedCall<>(method, next.newCall(raw, options));
  }

  private final class SignedCall<ReqT, RespT> extends ClientCall<ReqT, RespT> {
    private final MethodDescriptor<ReqT, RespT> method;
    private final ClientCall<byte[], RespT> call;
    private Listener<RespT> listener;
    private Metadata headers;
    private int requested;
    private boolean isStarted;
    private boolean isCanceled;

    SignedCall(MethodDescriptor<ReqT, RespT> method, ClientCall<byte[], RespT> call) {
      this.method = method;
      this.call = call;
    }

    @Override
    public void start(Listener<RespT> listener, Metadata headers) {
      this.listener = listener;
      this.headers = headers;
    }

    @Override
    public synchronized void request(int messages) {
      if (isStarted) {
        call.request(messages);
      } else {
        requested += messages;
      }
    }

    @Override
    public synchronized void sendMessage(ReqT message) {
      if (isCanceled) {
        return;
      }
      byte[] bytes = bytesOf(method.streamRequest(message));
      String key = headers.get(RequestSigning.IDEMPOTENCY_KEY);
      signing
          .grpc(method.getFullMethodName(), key, bytes)
          .forEach(
              (name, value) ->
                  headers.put(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER), value));
      isStarted = true;
      call.start(listener, headers);
      if (requested > 0) {
        call.request(requested);
      }
      call.sendMessage(bytes);
    }

    @Override
    public synchronized void halfClose() {
      if (isStarted) {
        call.halfClose();
      }
    }

    @Override
    public void cancel(String message, Throwable cause) {
      boolean wasStarted;
      synchronized (this) {
        wasStarted = isStarted;
        if (!wasStarted && (isCanceled || listener == null)) {
          return;
        }
        isCanceled = true;
      }
      // Whoever is told may hold locks of its own, so this holds none meanwhile.
      if (wasStarted) {
        call.cancel(message, cause);
      } else {
        Status status = Status.CANCELLED.withDescription(message).withCause(cause);
        listener.onClose(status, new Metadata());
      }
    }
  }
}
