package dev.reli.client;

import com.google.gson.JsonParser;
import com.standardwebhooks.Webhook;
import com.standardwebhooks.exceptions.EmptyWebhookSecretException;
import com.standardwebhooks.exceptions.WebhookVerificationException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;

/** Tells the platform's webhooks from others, as Standard Webhooks has it (docs/webhooks.md). */
public final class WebhookVerifier {
  private final Webhook webhook;

  /**
   * Verifies with the secret of an endpoint. While two are good, either verifies.
   *
   * @param secret "whsec_" and base64, as the platform showed it
   * @throws IllegalArgumentException if it is not
   */
  public WebhookVerifier(String secret) {
    try {
      webhook = new Webhook(secret);
    } catch (EmptyWebhookSecretException e) {
      throw new IllegalArgumentException(e);
    }
  }

  /**
   * Returns the event of a delivery. It may be a repetition: drop what you have seen by its id.
   *
   * @param headers those of the request; the case of names does not matter
   * @param body the bytes as they came
   * @throws VerificationException if no signature fits, or if it was made more than five minutes
   *     from now
   */
  public CloudEvent verify(Map<String, List<String>> headers, byte[] body)
      throws VerificationException {
    String text = new String(body, StandardCharsets.UTF_8);
    try {
      webhook.verify(text, headers);
      return CloudEvent.of(JsonParser.parseString(text).getAsJsonObject());
    } catch (WebhookVerificationException e) {
      throw new VerificationException(e.getMessage(), e);
    } catch (RuntimeException e) {
      throw new VerificationException("it is no event", e);
    }
  }
}
