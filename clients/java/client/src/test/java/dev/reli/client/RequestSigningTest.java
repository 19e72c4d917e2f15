package dev.reli.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.time.Clock;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class RequestSigningTest {
  private static final Clock CLOCK =
      Clock.fixed(Instant.ofEpochSecond(1_700_000_000), ZoneOffset.UTC);
  private static final String NONCE = "b3VyLW93bi1ub25jZS0x";
  private static final Ed25519Signer SIGNER = new Ed25519Signer("key", new byte[32]);

  /** Signs as another does, and remembers what. */
  private static final class Remembering implements Signer {
    private final Signer signer;
    private String base;

    Remembering(Signer signer) {
      this.signer = signer;
    }

    @Override
    public String keyId() {
      return signer.keyId();
    }

    @Override
    public String algorithm() {
      return signer.algorithm();
    }

    @Override
    public byte[] sign(byte[] text) {
      base = new String(text, StandardCharsets.UTF_8);
      return signer.sign(text);
    }
  }

  @TestFactory
  Stream<DynamicTest> aRequestOverRestIsSignedAsItsVector() {
    return Docs.vectors("good").stream()
        .map(vector -> DynamicTest.dynamicTest(text(vector, "name"), () -> rest(vector)));
  }

  private static void rest(JsonObject vector) {
    Remembering signer = new Remembering(Docs.signer(text(vector, "key_id")));
    String query = text(vector, "query").isEmpty() ? "" : "?" + text(vector, "query");
    URI uri = URI.create("https://" + text(vector, "authority") + text(vector, "path") + query);
    Map<String, String> headers = given(vector);
    byte[] body = text(vector, "body").getBytes(StandardCharsets.UTF_8);
    headers.putAll(
        new RequestSigning(signer, CLOCK, () -> NONCE)
            .rest(text(vector, "method"), uri, given(vector), body));
    assertEquals(text(vector, "signature_base"), signer.base);
    assertEquals(expected(vector), headers);
  }

  @TestFactory
  Stream<DynamicTest> aCallOverGrpcIsSignedAsItsVector() {
    return Docs.vectors("grpc").stream()
        .map(vector -> DynamicTest.dynamicTest(text(vector, "name"), () -> grpc(vector)));
  }

  private static void grpc(JsonObject vector) {
    Remembering signer = new Remembering(Docs.signer(text(vector, "key_id")));
    Map<String, String> headers = given(vector);
    headers.putAll(
        new RequestSigning(signer, CLOCK, () -> NONCE)
            .grpc(
                text(vector, "path").substring(1),
                headers.get("idempotency-key"),
                Base64.getDecoder().decode(text(vector, "message"))));
    assertEquals(text(vector, "signature_base"), signer.base);
    assertEquals(expected(vector), headers);
  }

  private static String text(JsonObject vector, String name) {
    return vector.get(name).getAsString();
  }

  private static Map<String, String> expected(JsonObject vector) {
    return vector.getAsJsonObject("headers").entrySet().stream()
        .collect(Collectors.toMap(Map.Entry::getKey, header -> header.getValue().getAsString()));
  }

  /** What the caller has set before it is signed. */
  private static Map<String, String> given(JsonObject vector) {
    Map<String, String> headers = new HashMap<>(expected(vector));
    headers.keySet().retainAll(Set.of("idempotency-key"));
    return headers;
  }

  private static String base(URI uri, Map<String, String> headers) {
    Remembering signer = new Remembering(SIGNER);
    new RequestSigning(signer).rest("GET", uri, headers, new byte[0]);
    return signer.base;
  }

  @Test
  void anAuthorityIsInLowerCaseWithoutTheUsualPort() {
    String usual = base(URI.create("https://API.Example.com:443/v1/quotes"), Map.of());
    assertTrue(usual.contains("\"@authority\": api.example.com\n"), usual);
    String other = base(URI.create("http://localhost:8080/v1/quotes"), Map.of());
    assertTrue(other.contains("\"@authority\": localhost:8080\n"), other);
  }

  @Test
  void theKeyOfARequestIsCoveredHoweverItsHeaderIsWritten() {
    String base = base(URI.create("https://a.example/"), Map.of("Idempotency-Key", "accept-1"));
    assertTrue(base.contains("\"idempotency-key\": accept-1\n"), base);
  }

  @Test
  void twoSignaturesHaveTwoNonces() {
    RequestSigning signing = new RequestSigning(SIGNER);
    Map<String, String> first = signing.grpc("reli.A/B", null, new byte[0]);
    Map<String, String> second = signing.grpc("reli.A/B", null, new byte[0]);
    assertNotEquals(nonce(first), nonce(second));
    assertTrue(nonce(first).length() >= 16 && nonce(first).length() <= 64, nonce(first));
    assertFalse(first.containsKey("content-digest"));
  }

  private static String nonce(Map<String, String> headers) {
    return headers.get("signature-input").replaceFirst(".*;nonce=\"(.*)\"", "$1");
  }

  @Test
  void aKeyOfTheJdkSignsAndItsPublicBytesAreThoseOfRfc8032() throws Exception {
    KeyPair pair = KeyPairGenerator.getInstance("Ed25519").generateKeyPair();
    byte[] bytes = Ed25519Signer.bytesOf(pair.getPublic());
    assertEquals(32, bytes.length);
    assertEquals(pair.getPublic(), Ed25519Signer.publicKey(bytes));
    assertEquals(64, new Ed25519Signer("key", pair.getPrivate()).sign(new byte[1]).length);
    JsonObject key =
        Docs.VECTORS
            .getAsJsonObject("keys")
            .entrySet()
            .iterator()
            .next()
            .getValue()
            .getAsJsonObject();
    byte[] known = Base64.getDecoder().decode(text(key, "public_key"));
    assertArrayEquals(known, Ed25519Signer.bytesOf(Ed25519Signer.publicKey(known)));
  }

  @Test
  void aKeyOfAnotherKindIsNotTaken() throws Exception {
    KeyPair pair = KeyPairGenerator.getInstance("X25519").generateKeyPair();
    assertThrows(IllegalArgumentException.class, () -> new Ed25519Signer("key", pair.getPrivate()));
    assertThrows(IllegalArgumentException.class, () -> Ed25519Signer.bytesOf(pair.getPublic()));
    assertThrows(IllegalArgumentException.class, () -> new Ed25519Signer("key", new byte[31]));
    assertThrows(IllegalArgumentException.class, () -> new HmacSigner("key", "whsec_AAAA"));
  }
}
