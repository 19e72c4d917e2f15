package dev.reli.client;

import com.google.gson.JsonObject;
import java.time.Instant;

/**
 * An event as a webhook tells it (docs/events.md).
 *
 * @param id unique by itself, the same at every delivery: drop what you have seen
 * @param type what happened, such as "trade.settled"
 * @param sequence the event's place in the tenant's log, from 1
 * @param subject the id of the thing that it happened to
 * @param time when it happened
 * @param tenantId whose log it is in
 * @param data the thing as it then was, in the JSON of the REST face
 */
public record CloudEvent(
    String id,
    String type,
    long sequence,
    String subject,
    Instant time,
    String tenantId,
    JsonObject data) {

  private static final String SOURCE = "https://reli.dev/tenants/";

  /** Reads structured mode; throws some RuntimeException if it is none of the platform's. */
  static CloudEvent of(JsonObject said) {
    String source = said.get("source").getAsString();
    if (!source.startsWith(SOURCE)) {
      throw new IllegalArgumentException("the source is " + source);
    }
    return new CloudEvent(
        said.get("id").getAsString(),
        said.get("type").getAsString(),
        Long.parseLong(said.get("sequence").getAsString()),
        said.get("subject").getAsString(),
        Instant.parse(said.get("time").getAsString()),
        source.substring(SOURCE.length()),
        said.getAsJsonObject("data"));
  }
}
