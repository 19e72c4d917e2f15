import assert from "node:assert/strict";
import { test } from "node:test";

import { Webhook } from "standardwebhooks";

import { verifyWebhook, WebhookVerificationError } from "../src/webhooks.js";

const SECRET = "whsec_MDEyMzQ1Njc4OTo7PD0+PzAxMjM0NTY3ODk6Ozw=";
const OLD = "whsec_AAEyMzQ1Njc4OTo7PD0+PzAxMjM0NTY3ODk6Ozw=";

const event = {
  specversion: "1.0",
  id: "event_01h455vb4pex5vsknk084sn02q",
  source: "https://reli.dev/tenants/tenant_01h455vb4pex5vsknk084sn02q",
  type: "trade.settled",
  subject: "trade_01h455vb4pex5vsknk084sn02q",
  time: "2026-03-02T09:30:05.250000Z",
  sequence: "0000000000000000012",
  correlationid: "request-1",
  dataschema: "https://reli.dev/schemas/reli.trade.v1.Trade",
  datacontenttype: "application/json",
  data: { id: "trade_01h455vb4pex5vsknk084sn02q", instrument: "BTC-NGN é" },
};
const body = Buffer.from(JSON.stringify(event));

/** A delivery as the platform makes it, signed so many seconds ago with each of the secrets. */
function delivered(secrets: string[] = [SECRET], ageS = 0): Record<string, string> {
  const at = new Date(Date.now() - ageS * 1000);
  const signatures = secrets.map((secret) => new Webhook(secret).sign(event.id, at, body));
  return {
    "webhook-id": event.id,
    "webhook-timestamp": String(Math.floor(at.getTime() / 1000)),
    "webhook-signature": signatures.join(" "),
    "webhook-attempt": "1",
  };
}

test("a delivery is the event that it brings", () => {
  assert.deepEqual(verifyWebhook(body, delivered(), SECRET), {
    id: event.id,
    type: "trade.settled",
    sequence: 12n,
    subject: event.subject,
    time: new Date("2026-03-02T09:30:05.250Z"),
    tenantId: "tenant_01h455vb4pex5vsknk084sn02q",
    correlationId: "request-1",
    dataType: "reli.trade.v1.Trade",
    data: event.data,
  });
});

test("the signature is what the specification's own example has", () => {
  const headers = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
  };
  const webhook = new Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
  const signed = webhook.sign(headers["webhook-id"], new Date(1_614_265_330_000), '{"test": 2432232314}');
  assert.equal(signed, headers["webhook-signature"]);
});

test("headers are taken as fetch and as Node's servers have them", () => {
  assert.equal(verifyWebhook(body, new Headers(delivered()), SECRET).id, event.id);
  const mixed = { ...delivered(), "set-cookie": ["a", "b"], host: undefined };
  assert.equal(verifyWebhook(body, mixed, SECRET).id, event.id);
});

test("while a secret is rotated, either of the two signatures is enough", () => {
  assert.equal(verifyWebhook(body, delivered([OLD, SECRET]), SECRET).id, event.id);
  assert.equal(verifyWebhook(body, delivered([SECRET, OLD]), SECRET).id, event.id);
});

function changed(at: number): Buffer {
  const copy = Buffer.from(body);
  copy[at]! ^= 1;
  return copy;
}

function refuses(headers: Record<string, string>, secret = SECRET, bytes: Uint8Array = body): void {
  assert.throws(() => verifyWebhook(bytes, headers, secret), WebhookVerificationError);
}

test("a body in which any byte was changed is refused", () => {
  const headers = delivered();
  for (let at = 0; at < body.length; at++) {
    refuses(headers, SECRET, changed(at));
  }
});

test("bytes that are no text are refused, also where they read like what was signed", () => {
  const replaced = Buffer.from(JSON.stringify({ ...event, subject: "\ufffd" }));
  const headers = { ...delivered(), "webhook-signature": new Webhook(SECRET).sign(event.id, new Date(), replaced) };
  assert.equal(verifyWebhook(replaced, headers, SECRET).subject, "\ufffd");
  const at = replaced.indexOf("\ufffd");
  refuses(delivered(), SECRET, Buffer.concat([Buffer.from("\ufeff"), body]));
  refuses(headers, SECRET, Buffer.concat([replaced.subarray(0, at), Buffer.from([0xff]), replaced.subarray(at + 3)]));
});

test("a signature with another secret, of another delivery or none is refused", () => {
  refuses(delivered([OLD]));
  refuses({ ...delivered(), "webhook-id": "event_01h455vb4pex5vsknk084sn02r" });
  for (const name of ["webhook-id", "webhook-timestamp", "webhook-signature"]) {
    refuses({ ...delivered(), [name]: "" });
  }
});

test("a delivery of more than five minutes ago, or of the future, is refused", () => {
  assert.equal(verifyWebhook(body, delivered([SECRET], 290), SECRET).id, event.id);
  refuses(delivered([SECRET], 310));
  refuses(delivered([SECRET], -310));
});
