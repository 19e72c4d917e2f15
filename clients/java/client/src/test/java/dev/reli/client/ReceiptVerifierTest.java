package dev.reli.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.ByteString;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Timestamp;
import dev.reli.ledger.v1.JsonWebKey;
import dev.reli.trade.v1.TradeReceipt;
import dev.reli.trade.v1.TradeState;
import dev.reli.type.v1.Amount;
import dev.reli.type.v1.Side;
import java.time.Instant;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import org.junit.jupiter.api.Test;

class ReceiptVerifierTest {
  /** The example in docs/books.md, signed with the key of its first example. */
  private static final JsonObject EXAMPLE = Docs.example("receipt").getAsJsonObject("receipt");

  private static final JsonWebKey KEY = key(Docs.example("jwks").getAsJsonArray("keys").get(0));
  private static final ByteString EVIDENCE = ByteString.copyFromUtf8("{}");
  private static final byte[] SEED =
      HexFormat.of().parseHex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");

  private final ReceiptVerifier verifier = new ReceiptVerifier(List.of(KEY));
  private final TradeReceipt receipt =
      receipt(decoded(EXAMPLE, "content"), decoded(EXAMPLE, "signature"));

  private static JsonWebKey key(JsonElement said) {
    JsonObject key = said.getAsJsonObject();
    return JsonWebKey.newBuilder()
        .setKty(key.get("kty").getAsString())
        .setCrv(key.get("crv").getAsString())
        .setX(key.get("x").getAsString())
        .setKid(key.get("kid").getAsString())
        .build();
  }

  private static ByteString decoded(JsonObject said, String name) {
    return ByteString.copyFrom(Base64.getDecoder().decode(said.get(name).getAsString()));
  }

  /** The receipt whose fields say what its content says. */
  private static TradeReceipt receipt(ByteString content, ByteString signature) {
    JsonObject said = JsonParser.parseString(content.toStringUtf8()).getAsJsonObject();
    TradeReceipt.Builder receipt =
        TradeReceipt.newBuilder()
            .setTradeId(said.get("trade_id").getAsString())
            .setQuoteId(said.get("quote_id").getAsString())
            .setCustomerId(said.get("customer_id").getAsString())
            .setInstrument(said.get("instrument").getAsString())
            .setSide(Side.valueOf("SIDE_" + said.get("side").getAsString().toUpperCase()))
            .setBaseAmount(amount(said, "base"))
            .setQuoteAmount(amount(said, "quote"))
            .setQuoteTime(time(said, "quoted_at"))
            .setExpireTime(time(said, "expires_at"))
            .setAcceptTime(time(said, "accepted_at"))
            .setEndTime(time(said, "ended_at"))
            .setState(
                TradeState.valueOf("TRADE_STATE_" + said.get("state").getAsString().toUpperCase()))
            .setRejectionReason(said.get("rejection_reason").getAsString())
            .setHoldEntryId(said.get("hold_entry_id").getAsString())
            .setFinalEntryId(said.get("final_entry_id").getAsString())
            .setEvidenceDigest(
                ByteString.copyFrom(
                    HexFormat.of().parseHex(said.get("evidence_digest").getAsString())))
            .setContent(content)
            .setKeyId(said.get("key_id").getAsString())
            .setSignature(signature);
    if (!said.get("paid").isJsonNull()) {
      receipt.setPaidAmount(amount(said, "paid")).setReceivedAmount(amount(said, "received"));
    }
    return receipt.build();
  }

  private static Amount amount(JsonObject said, String name) {
    JsonObject amount = said.getAsJsonObject(name);
    return Amount.newBuilder()
        .setAsset(amount.get("asset").getAsString())
        .setValue(amount.get("value").getAsString())
        .build();
  }

  private static Timestamp time(JsonObject said, String name) {
    Instant instant = Instant.parse(said.get(name).getAsString());
    return Timestamp.newBuilder()
        .setSeconds(instant.getEpochSecond())
        .setNanos(instant.getNano())
        .build();
  }

  /** A receipt that the platform's key signed, with something else in its content. */
  private TradeReceipt signed(String name, JsonElement value) {
    JsonObject said = JsonParser.parseString(receipt.getContent().toStringUtf8()).getAsJsonObject();
    said.add(name, value);
    return receipt(ByteString.copyFromUtf8(said.toString()));
  }

  private static TradeReceipt receipt(ByteString content) {
    byte[] signature = new Ed25519Signer("", SEED).sign(content.toByteArray());
    return receipt(content, ByteString.copyFrom(signature));
  }

  private void assertRefused(String part, TradeReceipt forged) {
    VerificationException thrown =
        assertThrows(VerificationException.class, () -> verifier.verify(forged, EVIDENCE));
    assertTrue(thrown.getMessage().contains(part), thrown.getMessage());
  }

  @Test
  void theExampleOfTheDocumentationIsVerified() throws Exception {
    verifier.verify(receipt);
    verifier.verify(receipt, EVIDENCE);
  }

  @Test
  void aRejectedTradesReceiptIsVerified() throws Exception {
    JsonObject said = JsonParser.parseString(receipt.getContent().toStringUtf8()).getAsJsonObject();
    said.addProperty("state", "rejected");
    said.addProperty("rejection_reason", "EXECUTION_WINDOW_PASSED");
    said.add("paid", JsonNull.INSTANCE);
    said.add("received", JsonNull.INSTANCE);
    verifier.verify(receipt(ByteString.copyFromUtf8(said.toString())), EVIDENCE);
  }

  @Test
  void aChangedByteOfTheContentIsRefusedWhereverItIs() {
    for (int place = 0; place < receipt.getContent().size(); place += 7) {
      byte[] changed = receipt.getContent().toByteArray();
      changed[place] ^= 1;
      TradeReceipt forged = receipt.toBuilder().setContent(ByteString.copyFrom(changed)).build();
      assertRefused("the signature is not over the content", forged);
    }
  }

  @Test
  void aChangedSignatureIsRefused() {
    byte[] changed = receipt.getSignature().toByteArray();
    changed[0] ^= 1;
    assertRefused(
        "signature", receipt.toBuilder().setSignature(ByteString.copyFrom(changed)).build());
    assertRefused("signature", receipt.toBuilder().clearSignature().build());
  }

  @Test
  void everyFieldMustSayWhatWasSigned() {
    for (FieldDescriptor field : TradeReceipt.getDescriptor().getFields()) {
      if (!field.getName().equals("make_time") && receipt.getAllFields().containsKey(field)) {
        TradeReceipt forged = receipt.toBuilder().clearField(field).build();
        assertThrows(
            VerificationException.class, () -> verifier.verify(forged), () -> field.getName());
      }
    }
    Amount more = receipt.getPaidAmount().toBuilder().setValue("1515000.01").build();
    assertRefused("paid is", receipt.toBuilder().setPaidAmount(more).build());
    Timestamp later = receipt.getEndTime().toBuilder().setNanos(1).build();
    assertRefused("ended_at is", receipt.toBuilder().setEndTime(later).build());
    assertRefused(
        "rejection_reason is", receipt.toBuilder().setRejectionReason("A_REASON").build());
  }

  @Test
  void anotherDocumentIsNoReceiptAlthoughItIsSigned() {
    assertRefused("type", signed("type", JsonParser.parseString("\"reli.checkpoint.v1\"")));
    ByteString text = ByteString.copyFromUtf8("[]");
    byte[] signature = new Ed25519Signer("", SEED).sign(text.toByteArray());
    assertRefused(
        "no receipt",
        receipt.toBuilder().setContent(text).setSignature(ByteString.copyFrom(signature)).build());
  }

  @Test
  void aKeyIsWhatItsThumbprintSays() {
    JsonWebKey stranger =
        KEY.toBuilder().setX("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").build();
    VerificationException thrown =
        assertThrows(
            VerificationException.class,
            () -> new ReceiptVerifier(List.of(stranger)).verify(receipt));
    assertEquals("the key is none of the platform's: " + KEY.getKid(), thrown.getMessage());
  }

  @Test
  void otherEvidenceIsRefused() {
    assertThrows(
        VerificationException.class,
        () -> verifier.verify(receipt, ByteString.copyFromUtf8("{ }")));
  }
}
