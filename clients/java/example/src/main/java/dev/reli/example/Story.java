package dev.reli.example;

import com.google.protobuf.ByteString;
import dev.reli.client.CloudEvent;
import dev.reli.client.Ed25519Signer;
import dev.reli.client.Events;
import dev.reli.client.ReceiptVerifier;
import dev.reli.client.Refusal;
import dev.reli.client.Reli;
import dev.reli.client.VerificationException;
import dev.reli.client.WebhookVerifier;
import dev.reli.event.v1.Event;
import dev.reli.event.v1.StreamEventsRequest;
import dev.reli.ledger.v1.GetSigningKeysRequest;
import dev.reli.ledger.v1.SigningKeyServiceGrpc;
import dev.reli.quote.v1.AcceptQuoteRequest;
import dev.reli.quote.v1.CreateQuoteRequest;
import dev.reli.quote.v1.Quote;
import dev.reli.quote.v1.QuoteServiceGrpc;
import dev.reli.sandbox.v1.CreateDepositRequest;
import dev.reli.sandbox.v1.SandboxServiceGrpc;
import dev.reli.tenant.v1.CreateCustomerRequest;
import dev.reli.tenant.v1.CreateRequestSigningKeyRequest;
import dev.reli.tenant.v1.Customer;
import dev.reli.tenant.v1.CustomerServiceGrpc;
import dev.reli.tenant.v1.GetCurrentTenantRequest;
import dev.reli.tenant.v1.RequestSigningKeyServiceGrpc;
import dev.reli.tenant.v1.SignatureAlgorithm;
import dev.reli.tenant.v1.TenantServiceGrpc;
import dev.reli.tenant.v1.UpdateCurrentTenantRequest;
import dev.reli.trade.v1.GetTradeEvidenceRequest;
import dev.reli.trade.v1.GetTradeReceiptRequest;
import dev.reli.trade.v1.Trade;
import dev.reli.trade.v1.TradeReceipt;
import dev.reli.trade.v1.TradeServiceGrpc;
import dev.reli.type.v1.Amount;
import dev.reli.type.v1.Side;
import dev.reli.webhook.v1.CreateWebhookEndpointRequest;
import dev.reli.webhook.v1.WebhookServiceGrpc;
import io.grpc.StatusRuntimeException;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.time.Duration;
import java.time.Instant;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** One customer's trade as a partner's backend makes it, told in nine lines. */
public final class Story {
  private Story() {}

  /** Needs RELI_URL, RELI_CA and RELI_KEY, the key being that of a fresh tenant. */
  public static void main(String[] arguments) throws Exception {
    String url = System.getenv("RELI_URL");
    String key = System.getenv("RELI_KEY");
    Path certificates = Path.of(System.getenv("RELI_CA"));
    try (Reli reli = Reli.at(url, key).rootCertificates(certificates).connect()) {
      Customer customer = createCustomer(reli);
      deposit(reli, customer);
      Ed25519Signer signer = requireSignatures(reli);
      Reli.Builder signing = Reli.at(url, key).rootCertificates(certificates).signer(signer);
      // A receipt is made a second or so after the trade: that may take more than four attempts.
      try (Reli signed = signing.attempts(10).timeout(Duration.ofSeconds(8)).connect()) {
        waitUntilRefused(reli);
        trade(signed, customer);
      }
    }
  }

  private static Customer createCustomer(Reli reli) {
    var customers = CustomerServiceGrpc.newBlockingStub(reli);
    // A request id is made before the first attempt and stored with what is about to be done.
    var amina =
        CreateCustomerRequest.newBuilder().setExternalId("amina").setRequestId(newId()).build();
    Customer first = customers.createCustomer(amina).getCustomer();
    Customer second = customers.createCustomer(amina).getCustomer();
    check(first.getId().equals(second.getId()), "amina became two customers");
    tell("customer", "amina, asked for twice, is one");
    return first;
  }

  private static void deposit(Reli reli, Customer customer) {
    var deposit =
        SandboxServiceGrpc.newBlockingStub(reli)
            .createDeposit(
                CreateDepositRequest.newBuilder()
                    .setCustomerId(customer.getId())
                    .setAmount(amount("2000000.00", "NGN"))
                    .setRequestId(newId())
                    .build())
            .getDeposit();
    tell("deposit", text(deposit.getAmount()));
  }

  private static Ed25519Signer requireSignatures(Reli reli) throws Exception {
    KeyPair pair = KeyPairGenerator.getInstance("Ed25519").generateKeyPair();
    var registered =
        RequestSigningKeyServiceGrpc.newBlockingStub(reli)
            .createRequestSigningKey(
                CreateRequestSigningKeyRequest.newBuilder()
                    .setName("backend")
                    .setAlgorithm(SignatureAlgorithm.SIGNATURE_ALGORITHM_ED25519)
                    .setPublicKey(ByteString.copyFrom(Ed25519Signer.bytesOf(pair.getPublic())))
                    .setRequestId(newId())
                    .build())
            .getRequestSigningKey();
    TenantServiceGrpc.newBlockingStub(reli)
        .updateCurrentTenant(
            UpdateCurrentTenantRequest.newBuilder()
                .setSigningRequired(true)
                .setRequestId(newId())
                .build());
    return new Ed25519Signer(registered.getId(), pair.getPrivate());
  }

  /** A server believes for up to a second what it knows of a tenant. */
  private static void waitUntilRefused(Reli unsigned) throws InterruptedException {
    var tenants = TenantServiceGrpc.newBlockingStub(unsigned);
    Instant end = Instant.now().plusSeconds(5);
    while (Instant.now().isBefore(end)) {
      try {
        tenants.getCurrentTenant(GetCurrentTenantRequest.getDefaultInstance());
        TimeUnit.MILLISECONDS.sleep(50);
      } catch (StatusRuntimeException e) {
        tell("signing", "required: an unsigned call is " + Refusal.of(e).reason());
        return;
      }
    }
    throw new IllegalStateException("an unsigned call is still answered");
  }

  private static void trade(Reli reli, Customer customer) throws Exception {
    StreamEventsRequest everything = StreamEventsRequest.newBuilder().setAfter(0).build();
    try (Receiver receiver = new Receiver();
        Events events = new Events(reli, everything)) {
      var endpoint =
          WebhookServiceGrpc.newBlockingStub(reli)
              .createWebhookEndpoint(
                  CreateWebhookEndpointRequest.newBuilder()
                      .setUrl(receiver.url())
                      .addEventTypes("trade.*")
                      .setRequestId(newId())
                      .build());
      CompletableFuture<Event> settled = CompletableFuture.supplyAsync(() -> firstSettled(events));

      Trade trade = buy(reli, customer);
      Event event = settled.get(8, TimeUnit.SECONDS);
      check(event.getSubject().equals(trade.getId()), "another trade was settled");
      // An accept may also answer TRADE_STATE_PENDING; the event tells the end.
      tell("accept", event.getTrade().getState() + ", and sent twice it is the same trade");
      tell("event", event.getType() + ", after all others without a gap");
      verifyWebhook(receiver.take(event.getId()), endpoint.getSecret(), event);
      verifyReceipt(reli, trade);
      buyTooMuch(reli, customer);
    }
  }

  private static Event firstSettled(Events events) {
    long sequence = 0;
    for (Event event : events) {
      sequence++;
      check(event.getSequence() == sequence, "no event " + sequence);
      if (event.getType().equals("trade.settled")) {
        return event;
      }
    }
    throw new IllegalStateException("the log ended");
  }

  private static Trade buy(Reli reli, Customer customer) {
    var quotes = QuoteServiceGrpc.newBlockingStub(reli);
    Quote quote = quotes.createQuote(bitcoin("0.01", customer)).getQuote();
    tell("quote", "0.01 BTC for " + text(quote.getQuoteAmount()));
    var accept =
        AcceptQuoteRequest.newBuilder().setQuoteId(quote.getId()).setRequestId(newId()).build();
    Trade first = quotes.acceptQuote(accept).getTrade();
    Trade second = quotes.acceptQuote(accept).getTrade();
    check(first.getId().equals(second.getId()), "the quote became two trades");
    return first;
  }

  private static void verifyWebhook(Receiver.Delivery delivery, String secret, Event event)
      throws VerificationException {
    WebhookVerifier verifier = new WebhookVerifier(secret);
    CloudEvent told = verifier.verify(delivery.headers(), delivery.body());
    check(told.id().equals(event.getId()), "the webhook is another event");
    check(told.sequence() == event.getSequence(), "the webhook has another sequence");
    byte[] changed = delivery.body().clone();
    changed[changed.length / 2] ^= 1;
    checkRefused(() -> verifier.verify(delivery.headers(), changed));
    tell("webhook", told.type() + ", verified: the same event; with a byte changed it is refused");
  }

  private static void verifyReceipt(Reli reli, Trade trade) throws VerificationException {
    var keys =
        SigningKeyServiceGrpc.newBlockingStub(reli)
            .getSigningKeys(GetSigningKeysRequest.getDefaultInstance())
            .getKeysList();
    var trades = TradeServiceGrpc.newBlockingStub(reli);
    // RECEIPT_PENDING until it is made, which the connection asks again for.
    TradeReceipt receipt =
        trades
            .getTradeReceipt(GetTradeReceiptRequest.newBuilder().setTradeId(trade.getId()).build())
            .getReceipt();
    ByteString evidence =
        trades
            .getTradeEvidence(
                GetTradeEvidenceRequest.newBuilder().setTradeId(trade.getId()).build())
            .getEvidence()
            .getContent();
    ReceiptVerifier verifier = new ReceiptVerifier(keys);
    verifier.verify(receipt, evidence);
    byte[] changed = receipt.getContent().toByteArray();
    changed[changed.length / 2] ^= 1;
    TradeReceipt forged = receipt.toBuilder().setContent(ByteString.copyFrom(changed)).build();
    checkRefused(() -> verifier.verify(forged, evidence));
    tell(
        "receipt",
        receipt.getState()
            + ", signature and evidence verified; with a byte changed it is refused");
  }

  private static void buyTooMuch(Reli reli, Customer customer) {
    var quotes = QuoteServiceGrpc.newBlockingStub(reli);
    Quote quote = quotes.createQuote(bitcoin("1", customer)).getQuote();
    try {
      quotes.acceptQuote(
          AcceptQuoteRequest.newBuilder().setQuoteId(quote.getId()).setRequestId(newId()).build());
      throw new IllegalStateException("a customer bought more than she can pay");
    } catch (StatusRuntimeException e) {
      Refusal refusal = Refusal.of(e);
      tell("refusal", refusal.reason() + ", retry " + refusal.retry().name().toLowerCase());
    }
  }

  private static CreateQuoteRequest bitcoin(String value, Customer customer) {
    return CreateQuoteRequest.newBuilder()
        .setCustomerId(customer.getId())
        .setSide(Side.SIDE_BUY)
        .setBaseAsset("BTC")
        .setQuoteAsset("NGN")
        .setBaseAmount(amount(value, "BTC"))
        .setRequestId(newId())
        .build();
  }

  private static Amount amount(String value, String asset) {
    return Amount.newBuilder().setValue(value).setAsset(asset).build();
  }

  private static String text(Amount amount) {
    return amount.getValue() + " " + amount.getAsset();
  }

  private static String newId() {
    return UUID.randomUUID().toString();
  }

  /** What must be refused. */
  private interface Verification {
    void run() throws VerificationException;
  }

  private static void checkRefused(Verification verification) {
    try {
      verification.run();
    } catch (VerificationException e) {
      return;
    }
    throw new IllegalStateException("what was changed is still believed");
  }

  private static void check(boolean holds, String otherwise) {
    if (!holds) {
      throw new IllegalStateException(otherwise);
    }
  }

  private static void tell(String what, String how) {
    System.out.printf("%-8s  %s%n", what, how);
  }
}
