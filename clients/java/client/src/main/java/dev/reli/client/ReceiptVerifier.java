package dev.reli.client;

import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.ByteString;
import com.google.protobuf.Timestamp;
import dev.reli.ledger.v1.JsonWebKey;
import dev.reli.trade.v1.TradeReceipt;
import dev.reli.type.v1.Amount;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.Signature;
import java.time.Instant;
import java.util.Base64;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Tells receipts that the platform signed from others (docs/books.md). */
public final class ReceiptVerifier {
  private final List<JsonWebKey> keys;

  /**
   * Verifies with the platform's public keys.
   *
   * @param keys the answer of GetSigningKeys, fetched by whoever verifies
   */
  public ReceiptVerifier(Collection<JsonWebKey> keys) {
    this.keys = List.copyOf(keys);
  }

  /**
   * Returns if one of the keys signed the receipt, and all of its fields are what was signed.
   *
   * @throws VerificationException if not
   */
  public void verify(TradeReceipt receipt) throws VerificationException {
    verifySignature(receipt);
    try {
      verifyFields(receipt);
    } catch (RuntimeException e) {
      throw new VerificationException("what was signed is no receipt", e);
    }
  }

  /**
   * The same, and that this is the evidence which the receipt names.
   *
   * @param evidence {@code content} of the trade's evidence
   * @throws VerificationException if not
   */
  public void verify(TradeReceipt receipt, ByteString evidence) throws VerificationException {
    verify(receipt);
    byte[] digest = RequestSigning.sha256(evidence.toByteArray());
    equal("evidence_digest", ByteString.copyFrom(digest), receipt.getEvidenceDigest());
  }

  private void verifySignature(TradeReceipt receipt) throws VerificationException {
    try {
      for (JsonWebKey key : keys) {
        if (thumbprint(key).equals(receipt.getKeyId())) {
          Signature signature = Signature.getInstance("Ed25519");
          signature.initVerify(Ed25519Signer.publicKey(Base64.getUrlDecoder().decode(key.getX())));
          signature.update(receipt.getContent().asReadOnlyByteBuffer());
          if (signature.verify(receipt.getSignature().toByteArray())) {
            return;
          }
          throw new VerificationException("the signature is not over the content");
        }
      }
    } catch (VerificationException e) {
      throw e;
    } catch (GeneralSecurityException | IllegalArgumentException e) {
      throw new VerificationException("the signature cannot be checked", e);
    }
    throw new VerificationException("the key is none of the platform's: " + receipt.getKeyId());
  }

  /** RFC 7638: the digest of what the key is made of, in this order and nothing else. */
  private static String thumbprint(JsonWebKey key) {
    JsonObject members = new JsonObject();
    members.addProperty("crv", key.getCrv());
    members.addProperty("kty", key.getKty());
    members.addProperty("x", key.getX());
    byte[] text = members.toString().getBytes(StandardCharsets.UTF_8);
    return Base64.getUrlEncoder().withoutPadding().encodeToString(RequestSigning.sha256(text));
  }

  private static void verifyFields(TradeReceipt receipt) throws VerificationException {
    JsonObject said = JsonParser.parseString(receipt.getContent().toStringUtf8()).getAsJsonObject();
    JsonObject told = new JsonObject();
    told.addProperty("type", "reli.receipt.v1");
    told.addProperty("key_id", receipt.getKeyId());
    told.addProperty("trade_id", receipt.getTradeId());
    told.addProperty("quote_id", receipt.getQuoteId());
    told.addProperty("customer_id", receipt.getCustomerId());
    told.addProperty("instrument", receipt.getInstrument());
    told.addProperty("side", word(receipt.getSide(), "SIDE_"));
    told.add("base", json(receipt.hasBaseAmount(), receipt.getBaseAmount()));
    told.add("quote", json(receipt.hasQuoteAmount(), receipt.getQuoteAmount()));
    told.addProperty("state", word(receipt.getState(), "TRADE_STATE_"));
    told.addProperty("rejection_reason", receipt.getRejectionReason());
    told.add("paid", json(receipt.hasPaidAmount(), receipt.getPaidAmount()));
    told.add("received", json(receipt.hasReceivedAmount(), receipt.getReceivedAmount()));
    told.addProperty("hold_entry_id", receipt.getHoldEntryId());
    told.addProperty("final_entry_id", receipt.getFinalEntryId());
    told.addProperty(
        "evidence_digest", HexFormat.of().formatHex(receipt.getEvidenceDigest().toByteArray()));
    for (Map.Entry<String, JsonElement> field : told.entrySet()) {
      equal(field.getKey(), said.get(field.getKey()), field.getValue());
    }
    equal("quoted_at", instant(said, "quoted_at"), instant(receipt.getQuoteTime()));
    equal("expires_at", instant(said, "expires_at"), instant(receipt.getExpireTime()));
    equal("accepted_at", instant(said, "accepted_at"), instant(receipt.getAcceptTime()));
    equal("ended_at", instant(said, "ended_at"), instant(receipt.getEndTime()));
  }

  private static void equal(String name, Object signed, Object told) throws VerificationException {
    if (!told.equals(signed)) {
      throw new VerificationException("%s is %s, signed was %s".formatted(name, told, signed));
    }
  }

  private static String word(Enum<?> value, String prefix) {
    return value.name().replaceFirst("^" + prefix, "").toLowerCase(Locale.ROOT);
  }

  private static JsonElement json(boolean isThere, Amount amount) {
    if (!isThere) {
      return JsonNull.INSTANCE;
    }
    JsonObject json = new JsonObject();
    json.addProperty("asset", amount.getAsset());
    json.addProperty("value", amount.getValue());
    return json;
  }

  private static Instant instant(JsonObject said, String name) {
    return Instant.parse(said.get(name).getAsString());
  }

  private static Instant instant(Timestamp time) {
    return Instant.ofEpochSecond(time.getSeconds(), time.getNanos());
  }
}
