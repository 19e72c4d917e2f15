package dev.reli.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ClientInterceptors;
import io.grpc.Deadline;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.MetadataUtils;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * A connection to Reli: a channel to make generated stubs with, which knows the API key, signs if
 * it was given a key to, and repeats what may be repeated.
 *
 * <p>One serves a whole process, for as long as it lives; it connects again by itself.
 */
public final class Reli extends Channel implements AutoCloseable {
  private final String url;
  private final ManagedChannel transport;
  private final Channel channel;

  private Reli(String url, ManagedChannel transport, List<ClientInterceptor> outermostFirst) {
    this.url = url;
    this.transport = transport;
    this.channel = ClientInterceptors.interceptForward(transport, outermostFirst);
  }

  /**
   * Connects without a signature and with the defaults of {@link Builder}.
   *
   * @param url "https://host:port", or "http://host:port" in development; without a port that of
   *     the scheme
   * @throws IllegalArgumentException if the URL is neither
   */
  public static Reli connect(String url, String apiKey) {
    return at(url, apiKey).connect();
  }

  /** Begins a connection; {@link Builder#connect()} makes it. */
  public static Builder at(String url, String apiKey) {
    return new Builder(url, apiKey);
  }

  @Override
  public <ReqT, RespT> ClientCall<ReqT, RespT> newCall(
      MethodDescriptor<ReqT, RespT> method, CallOptions options) {
    return channel.newCall(method, options);
  }

  @Override
  public String authority() {
    return channel.authority();
  }

  /** Ends the connection, and with it what is still called. */
  @Override
  public void close() {
    transport.shutdownNow();
  }

  @Override
  public String toString() {
    return "Reli[" + url + "]";
  }

  /** What a connection is made of. */
  public static final class Builder {
    private final String url;
    private final String apiKey;
    private Signer signer;
    private Path rootCertificates;
    private Duration timeout = Duration.ofSeconds(5);
    private int attempts = 4;

    private Builder(String url, String apiKey) {
      this.url = url;
      this.apiKey = apiKey;
    }

    /** Signs every call but streams of requests, which cannot be signed. */
    public Builder signer(Signer signer) {
      this.signer = signer;
      return this;
    }

    /** A PEM file of the certificates to trust; those of the system unless given. */
    public Builder rootCertificates(Path pem) {
      this.rootCertificates = pem;
      return this;
    }

    /** How long a call that has no deadline takes at most, its repetitions included; 5 s. */
    public Builder timeout(Duration timeout) {
      this.timeout = timeout;
      return this;
    }

    /** How often a call is sent at most, 1 meaning that none is repeated; 4. */
    public Builder attempts(int attempts) {
      this.attempts = attempts;
      return this;
    }

    /**
     * Makes the connection. Nothing is sent before the first call.
     *
     * @throws IllegalArgumentException if the URL is not as {@link Reli#connect} wants it
     * @throws UncheckedIOException if the root certificates cannot be read
     */
    public Reli connect() {
      URI address = URI.create(url);
      if (address.getHost() == null) {
        throw new IllegalArgumentException("no https://host:port: " + url);
      }
      Metadata key = new Metadata();
      key.put(
          Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + apiKey);
      Deadline.Ticker ticker = Deadline.getSystemTicker();
      List<ClientInterceptor> interceptors = new ArrayList<>();
      interceptors.add(
          new RetryInterceptor(
              attempts, timeout, ticker, RetryInterceptor.Timer.SYSTEM, Pauses.RANDOM));
      interceptors.add(MetadataUtils.newAttachHeadersInterceptor(key));
      if (signer != null) {
        interceptors.add(new SigningInterceptor(new RequestSigning(signer)));
      }
      // What gRPC would repeat by itself would go out under the nonce that was used.
      ManagedChannel transport =
          Grpc.newChannelBuilder("dns:///" + address.getRawAuthority(), credentials(address))
              .disableRetry()
              .keepAliveTime(30, TimeUnit.SECONDS)
              .build();
      return new Reli(url, transport, interceptors);
    }

    private ChannelCredentials credentials(URI address) {
      if ("http".equals(address.getScheme())) {
        return InsecureChannelCredentials.create();
      }
      if (!"https".equals(address.getScheme())) {
        throw new IllegalArgumentException("no https://host:port: " + url);
      }
      if (rootCertificates == null) {
        return TlsChannelCredentials.create();
      }
      try {
        return TlsChannelCredentials.newBuilder().trustManager(rootCertificates.toFile()).build();
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
  }
}
