export { type Connection, type ConnectOptions, connect } from "./connection.js";
export { type EventsOptions, events, SequenceGap } from "./events.js";
export { type PublicKey, ReceiptInvalid, verifyReceipt } from "./receipts.js";
export { Refusal, type Retry } from "./refusal.js";
export { Ed25519Signer, HmacSigner, type Moment, type RestRequest, type Signer, signRequest } from "./signing.js";
export type { Timing } from "./timing.js";
export { type CloudEvent, verifyWebhook, type WebhookHeaders, WebhookVerificationError } from "./webhooks.js";
