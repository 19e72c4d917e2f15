package dev.reli.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.standardwebhooks.Webhook;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class WebhookVerifierTest {
  private static final String SECRET = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
  private static final String OTHER = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
  private static final String BODY =
      """
      {"specversion":"1.0","id":"event_1","source":"https://reli.dev/tenants/tenant_1",\
      "type":"trade.settled","subject":"trade_1","time":"2026-03-02T09:30:05.000000Z",\
      "sequence":"0000000000000000007","data":{"state":"TRADE_STATE_SETTLED","note":"₦"}}\
      """;

  private final WebhookVerifier verifier = new WebhookVerifier(SECRET);

  private static Map<String, List<String>> headers(Instant time, String body, String... secrets)
      throws Exception {
    StringBuilder signatures = new StringBuilder();
    for (String secret : secrets) {
      signatures.append(new Webhook(secret).sign("event_1", time.getEpochSecond(), body));
      signatures.append(' ');
    }
    return Map.of(
        "Webhook-Id", List.of("event_1"),
        "Webhook-Timestamp", List.of(Long.toString(time.getEpochSecond())),
        "Webhook-Signature", List.of(signatures.toString().strip()));
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  private void assertRefused(Map<String, List<String>> headers, byte[] body) {
    assertThrows(VerificationException.class, () -> verifier.verify(headers, body));
  }

  @Test
  void anEventIsRead() throws Exception {
    CloudEvent event = verifier.verify(headers(Instant.now(), BODY, SECRET), bytes(BODY));
    assertEquals("event_1", event.id());
    assertEquals("trade.settled", event.type());
    assertEquals(7, event.sequence());
    assertEquals("trade_1", event.subject());
    assertEquals(Instant.parse("2026-03-02T09:30:05Z"), event.time());
    assertEquals("tenant_1", event.tenantId());
    assertEquals("TRADE_STATE_SETTLED", event.data().get("state").getAsString());
  }

  @Test
  void oneOfTwoSignaturesIsEnough() throws Exception {
    verifier.verify(headers(Instant.now(), BODY, OTHER, SECRET), bytes(BODY));
    verifier.verify(headers(Instant.now(), BODY, SECRET, OTHER), bytes(BODY));
    assertRefused(headers(Instant.now(), BODY, OTHER), bytes(BODY));
  }

  @Test
  void everyChangedByteIsRefused() throws Exception {
    Map<String, List<String>> headers = headers(Instant.now(), BODY, SECRET);
    for (int place = 0; place < bytes(BODY).length; place++) {
      byte[] changed = bytes(BODY);
      changed[place] ^= 1;
      assertRefused(headers, changed);
    }
  }

  @Test
  void fiveMinutesOffIsRefused() throws Exception {
    Instant now = Instant.now();
    for (Duration off : List.of(Duration.ofSeconds(-305), Duration.ofSeconds(305))) {
      assertRefused(headers(now.plus(off), BODY, SECRET), bytes(BODY));
    }
    verifier.verify(headers(now.minusSeconds(280), BODY, SECRET), bytes(BODY));
    verifier.verify(headers(now.plusSeconds(280), BODY, SECRET), bytes(BODY));
  }

  @Test
  void withoutAHeaderItIsRefused() throws Exception {
    Map<String, List<String>> headers = headers(Instant.now(), BODY, SECRET);
    for (String name : headers.keySet()) {
      var without = new HashMap<>(headers);
      without.remove(name);
      assertRefused(without, bytes(BODY));
    }
    var broken = new HashMap<>(headers);
    broken.put("Webhook-Signature", List.of("v1"));
    assertRefused(broken, bytes(BODY));
  }

  @Test
  void whatIsSignedButNoEventIsRefused() throws Exception {
    for (String body : List.of("{}", "[", "null", BODY.replace("https://reli.dev", "https://a"))) {
      assertRefused(headers(Instant.now(), body, SECRET), bytes(body));
    }
  }

  @Test
  void aSecretThatIsNoneIsNotTaken() {
    assertThrows(IllegalArgumentException.class, () -> new WebhookVerifier("whsec_"));
    assertThrows(IllegalArgumentException.class, () -> new WebhookVerifier("whsec_%"));
  }
}
