package dev.reli.client;

import io.grpc.Metadata;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.SecureRandom;
import java.time.Clock;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Supplier;
import java.util.stream.Collectors;

/**
 * Signs requests as docs/signing.md has it: RFC 9421, with the digest of RFC 9530.
 *
 * <p>A connection that was given a {@link Signer} signs by itself; this is for whoever calls REST.
 */
public final class RequestSigning {
  static final Metadata.Key<String> IDEMPOTENCY_KEY =
      Metadata.Key.of("idempotency-key", Metadata.ASCII_STRING_MARSHALLER);

  private static final SecureRandom RANDOM = new SecureRandom();

  private final Signer signer;
  private final Clock clock;
  private final Supplier<String> nonces;

  /** Signs with a key, at the system's time. */
  public RequestSigning(Signer signer) {
    this(signer, Clock.systemUTC(), RequestSigning::randomNonce);
  }

  /**
   * Signs with a key.
   *
   * @param clock what {@code created} is taken from; the platform allows 60 s
   * @param nonces 16 to 64 characters, others at each call
   */
  public RequestSigning(Signer signer, Clock clock, Supplier<String> nonces) {
    this.signer = signer;
    this.clock = clock;
    this.nonces = nonces;
  }

  /**
   * Returns the headers to add to a REST request. Each time that it is sent it needs others.
   *
   * @param uri the whole address, encoded as it is sent
   * @param headers those that the request has so far; of interest is {@code Idempotency-Key}
   * @param body the bytes as they are sent; empty if there are none
   */
  public Map<String, String> rest(
      String method, URI uri, Map<String, String> headers, byte[] body) {
    Map<String, String> sent = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
    sent.putAll(headers);
    Map<String, String> covered = new LinkedHashMap<>();
    covered.put("@method", method);
    covered.put("@authority", authority(uri));
    covered.put("@path", uri.getRawPath().isEmpty() ? "/" : uri.getRawPath());
    covered.put("@query", "?" + (uri.getRawQuery() == null ? "" : uri.getRawQuery()));
    return sign(covered, sent.get(IDEMPOTENCY_KEY.name()), body);
  }

  /** Returns the metadata to add to a gRPC call whose serialized message is as given. */
  Map<String, String> grpc(String fullMethodName, String idempotencyKey, byte[] message) {
    Map<String, String> covered = new LinkedHashMap<>();
    covered.put("@method", "POST");
    covered.put("@path", "/" + fullMethodName);
    return sign(covered, idempotencyKey, message);
  }

  private Map<String, String> sign(
      Map<String, String> covered, String idempotencyKey, byte[] content) {
    Map<String, String> added = new LinkedHashMap<>();
    if (idempotencyKey != null) {
      covered.put(IDEMPOTENCY_KEY.name(), idempotencyKey);
    }
    if (content.length > 0) {
      added.put("content-digest", "sha-256=:" + base64(sha256(content)) + ":");
    }
    covered.putAll(added);
    String params =
        covered.keySet().stream().collect(Collectors.joining("\" \"", "(\"", "\")"))
            + ";created=%d;keyid=\"%s\";alg=\"%s\";nonce=\"%s\""
                .formatted(
                    clock.instant().getEpochSecond(),
                    signer.keyId(),
                    signer.algorithm(),
                    nonces.get());
    added.put("signature-input", "sig1=" + params);
    byte[] base = signatureBase(covered, params).getBytes(StandardCharsets.UTF_8);
    added.put("signature", "sig1=:" + base64(signer.sign(base)) + ":");
    return added;
  }

  /** RFC 9421, section 2.5. */
  private static String signatureBase(Map<String, String> covered, String params) {
    StringBuilder base = new StringBuilder();
    covered.forEach(
        (name, value) -> base.append('"').append(name).append("\": ").append(value).append('\n'));
    return base.append("\"@signature-params\": ").append(params).toString();
  }

  /** RFC 9421, section 2.2.3: in lower case, without the port that the scheme has anyway. */
  private static String authority(URI uri) {
    int usual = "https".equals(uri.getScheme()) ? 443 : 80;
    String host = uri.getHost().toLowerCase(Locale.ROOT);
    return uri.getPort() == -1 || uri.getPort() == usual ? host : host + ":" + uri.getPort();
  }

  static byte[] sha256(byte[] content) {
    try {
      return MessageDigest.getInstance("SHA-256").digest(content);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  private static String base64(byte[] bytes) {
    return Base64.getEncoder().encodeToString(bytes);
  }

  private static String randomNonce() {
    byte[] bytes = new byte[16];
    RANDOM.nextBytes(bytes);
    return Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
  }
}
