// A partner's first day: a customer, signed requests, a trade and all that can be checked of it.
// RELI_URL, RELI_CA and RELI_KEY say where the platform is and who asks.

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";

import {
  type Connection,
  connect,
  Ed25519Signer,
  events,
  ReceiptInvalid,
  Refusal,
  verifyReceipt,
  verifyWebhook,
  WebhookVerificationError,
} from "@reli/client";
import type { Event } from "@reli/client/reli/event/v1/event_pb";
import { EventService } from "@reli/client/reli/event/v1/event_service_pb";
import { SigningKeyService } from "@reli/client/reli/ledger/v1/checkpoint_service_pb";
import { QuoteService } from "@reli/client/reli/quote/v1/quote_service_pb";
import { SandboxService } from "@reli/client/reli/sandbox/v1/sandbox_service_pb";
import { SignatureAlgorithm } from "@reli/client/reli/tenant/v1/tenant_pb";
import {
  CustomerService,
  RequestSigningKeyService,
  TenantService,
} from "@reli/client/reli/tenant/v1/tenant_service_pb";
import { type Trade, TradeState, TradeStateSchema } from "@reli/client/reli/trade/v1/trade_pb";
import { TradeService } from "@reli/client/reli/trade/v1/trade_service_pb";
import { Side } from "@reli/client/reli/type/v1/side_pb";
import { WebhookService } from "@reli/client/reli/webhook/v1/webhook_service_pb";

const url = setting("RELI_URL");
const apiKey = setting("RELI_KEY");
const rootCertificates = readFileSync(setting("RELI_CA"));

const unsigned = connect(url, apiKey, { rootCertificates });

// A request id is made before the first attempt and kept with what it is for. Sent again under the
// same one, whether by the library or by you, a request has one effect.
const customers = unsigned.client(CustomerService);
const wanted = { externalId: "amina", requestId: "customer-amina" };
const { customer } = await customers.createCustomer(wanted);
const { customer: again } = await customers.createCustomer(wanted);
assert(customer && again?.id === customer.id);
say("customer", `${customer.externalId}, asked for twice, is one`);

const { deposit } = await unsigned.client(SandboxService).createDeposit({
  customerId: customer.id,
  amount: { value: "2000000.00", asset: "NGN" },
  requestId: "deposit-amina",
});
say("deposit", `${deposit?.amount?.value} ${deposit?.amount?.asset}`);

// From here on a stolen API key alone is worth nothing: every request must be signed.
const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const { requestSigningKey } = await unsigned.client(RequestSigningKeyService).createRequestSigningKey({
  name: "story",
  algorithm: SignatureAlgorithm.ED25519,
  publicKey: publicKey.export({ format: "der", type: "spki" }).subarray(-32),
  requestId: "signing-key",
});
assert(requestSigningKey);
const signer = new Ed25519Signer(requestSigningKey.id, privateKey);
const reli = connect(url, apiKey, { rootCertificates, signer });
await unsigned.client(TenantService).updateCurrentTenant({ signingRequired: true, requestId: "signing-required" });
// Every server knows of it within a second.
const missing = await eventually(() => refusalOf(unsigned.client(TenantService).getCurrentTenant({})));
say("signing", `required: an unsigned call is ${missing.reason}`);
unsigned.close();

const settlement = eventOfSettlement(reli);
const receiver = await webhookReceiver();
const { secret } = await reli.client(WebhookService).createWebhookEndpoint({
  url: receiver.url,
  eventTypes: ["trade.*"],
  requestId: "webhook-endpoint",
});

const quotes = reli.client(QuoteService);
const quote = await buy("0.01", "quote-1");
say("quote", `0.01 BTC for ${quote.quoteAmount?.value} ${quote.quoteAmount?.asset}`);

const acceptance = { quoteId: quote.id, requestId: "accept-1" };
const { trade } = await quotes.acceptQuote(acceptance);
const { trade: same } = await quotes.acceptQuote(acceptance);
assert(trade && same?.id === trade.id);
const event = await settlement;
assert(event.data.case === "trade" && event.subject === trade.id);
const state = stateOf(trade.state === TradeState.PENDING ? event.data.value : trade);
say("accept", `${state}, and sent twice it is the same trade`);
say("event", `${event.type}, after all others without a gap`);

// The same event once more, sent to us; whoever listens drops what he has seen by its id.
const { body, headers } = await eventually(() => receiver.deliveries.get(event.id));
const delivered = verifyWebhook(body, headers, secret);
assert.deepEqual([delivered.id, delivered.sequence, delivered.subject], [event.id, event.sequence, trade.id]);
assert.throws(() => verifyWebhook(changed(body), headers, secret), WebhookVerificationError);
say("webhook", `${delivered.type}, verified: the same event; with a byte changed it is refused`);
receiver.close();

// The receipt is made a second or so after the trade's end. Until then the refusal is RECEIPT_PENDING
// with the time to wait, which the connection does.
const trades = reli.client(TradeService);
const { receipt } = await trades.getTradeReceipt({ tradeId: trade.id });
const { evidence } = await trades.getTradeEvidence({ tradeId: trade.id });
const { keys } = await reli.client(SigningKeyService).getSigningKeys({});
assert(receipt && evidence);
verifyReceipt(receipt, keys, evidence.content);
const forged = { ...receipt, content: changed(receipt.content) };
assert.throws(() => verifyReceipt(forged, keys, evidence.content), ReceiptInvalid);
say("receipt", `${stateOf(receipt)}, signature and evidence verified; with a byte changed it is refused`);

const dear = await buy("1", "quote-2");
const refusal = await refusalOf(quotes.acceptQuote({ quoteId: dear.id, requestId: "accept-2" }));
say("refusal", `${refusal?.reason}, retry ${refusal?.retry}`);
reli.close();

async function buy(bitcoin: string, requestId: string) {
  const { quote } = await quotes.createQuote({
    customerId: customer!.id,
    side: Side.BUY,
    baseAsset: "BTC",
    quoteAsset: "NGN",
    fixedAmount: { case: "baseAmount", value: { value: bitcoin, asset: "BTC" } },
    requestId,
  });
  assert(quote);
  return quote;
}

/** Reads the tenant's log from its very first event on, until the first trade is settled. */
async function eventOfSettlement(reli: Connection): Promise<Event> {
  let position = 0n;
  const signal = AbortSignal.timeout(10_000);
  for await (const event of events(reli.client(EventService), { after: position, signal })) {
    position += 1n;
    assert.equal(event.sequence, position);
    if (event.type === "trade.settled") {
      return event;
    }
  }
  throw new Error("no trade was settled within 10 s");
}

/** Takes deliveries, answers at once and keeps them by the id of their event. */
async function webhookReceiver() {
  const deliveries = new Map<string, { headers: IncomingHttpHeaders; body: Uint8Array }>();
  const server = createServer(async (request, response) => {
    const delivery = { headers: request.headers, body: await buffer(request) };
    deliveries.set(String(request.headers["webhook-id"]), delivery);
    response.writeHead(204).end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${port}/webhooks`, deliveries, close };
}

/** What the platform said no with; nothing if it said yes. */
async function refusalOf(call: Promise<unknown>): Promise<Refusal | undefined> {
  try {
    await call;
    return undefined;
  } catch (error) {
    assert(error instanceof Refusal);
    return error;
  }
}

/** What `look` finds, as soon as it finds something, within 5 s. */
async function eventually<T>(look: () => T | undefined | Promise<T | undefined>): Promise<T> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const found = await look();
    if (found !== undefined) {
      return found;
    }
    await sleep(100);
  }
  throw new Error(`nothing came of ${look.toString()} within 5 s`);
}

/** A copy with one bit of its middle byte changed. */
function changed(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(bytes);
  const middle = copy.length >> 1;
  copy[middle] = copy[middle]! ^ 1;
  return copy;
}

function stateOf({ state }: Pick<Trade, "state">): string {
  return TradeStateSchema.value[state]?.name ?? "";
}

function setting(name: string): string {
  const value = process.env[name];
  assert(value, `${name} is not set`);
  return value;
}

function say(what: string, found: string): void {
  console.log(`${what.padEnd(10)}${found}`);
}
