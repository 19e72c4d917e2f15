package dev.reli.client;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What docs/ has for clients in any language. */
final class Docs {
  static final JsonObject VECTORS =
      JsonParser.parseString(read("signing-vectors.json")).getAsJsonObject();

  private Docs() {}

  static List<JsonObject> vectors(String kind) {
    JsonArray vectors = VECTORS.getAsJsonArray(kind);
    return vectors.asList().stream().map(JsonElement::getAsJsonObject).toList();
  }

  static Signer signer(String keyId) {
    JsonObject key = VECTORS.getAsJsonObject("keys").getAsJsonObject(keyId);
    if (key.get("algorithm").getAsString().equals("ed25519")) {
      byte[] seed = Base64.getDecoder().decode(key.get("seed").getAsString());
      return new Ed25519Signer(keyId, seed);
    }
    return new HmacSigner(keyId, key.get("secret").getAsString());
  }

  /** The block of JSON in docs/books.md that is marked with a word. */
  static JsonObject example(String word) {
    Matcher block =
        Pattern.compile("^```json " + word + "\n(.*?)\n```$", Pattern.MULTILINE | Pattern.DOTALL)
            .matcher(read("books.md"));
    if (!block.find()) {
      throw new IllegalArgumentException("no such example: " + word);
    }
    return JsonParser.parseString(block.group(1)).getAsJsonObject();
  }

  private static String read(String name) {
    try {
      return Files.readString(Path.of(System.getProperty("basedir"), "../../../docs", name));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
