import type { JsonObject } from "@bufbuild/protobuf";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

export { WebhookVerificationError };

/** An event as webhooks bring it: a CloudEvent 1.0. */
export interface CloudEvent {
  /** The same at every attempt and every replay: drop what you have seen. */
  readonly id: string;
  /** What happened, such as "trade.settled". */
  readonly type: string;
  /** Place in the tenant's log, from 1 and without gaps over all types. */
  readonly sequence: bigint;
  /** Id of the thing that it happened to. */
  readonly subject: string;
  /** When it happened, to the millisecond. */
  readonly time: Date;
  readonly tenantId: string;
  /** Ties all effects of one request together. */
  readonly correlationId: string;
  /** The message that `data` is, such as "reli.trade.v1.Trade". */
  readonly dataType: string;
  /** The thing as it then was; `fromJson` of its schema reads it. */
  readonly data: JsonObject;
}

/** Headers as Node's servers, `fetch` or a plain object have them. */
export type WebhookHeaders = Headers | Readonly<Record<string, string | readonly string[] | undefined>>;

/**
 * The event of a delivery, if it is ours and of the last five minutes. While a secret is rotated a
 * delivery has a signature with each; one that fits is enough.
 *
 * @param body The body exactly as it came, before any parsing.
 * @param secret "whsec_…", as the endpoint's creation or rotation showed it.
 * @throws WebhookVerificationError otherwise; answer 400 then.
 */
export function verifyWebhook(body: Uint8Array, headers: WebhookHeaders, secret: string): CloudEvent {
  const single = [...(headers instanceof Headers ? headers : Object.entries(headers))].filter(
    (header): header is [string, string] => typeof header[1] === "string",
  );
  const said = new Webhook(secret).verify(textOf(body), Object.fromEntries(single)) as Envelope;
  return {
    id: said.id,
    type: said.type,
    sequence: BigInt(said.sequence),
    subject: said.subject,
    time: new Date(said.time),
    tenantId: lastPart(said.source),
    correlationId: said.correlationid,
    dataType: lastPart(said.dataschema),
    data: said.data,
  };
}

/** What the platform signs; docs/events.md lists it. */
interface Envelope {
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject: string;
  readonly time: string;
  readonly sequence: string;
  readonly correlationid: string;
  readonly dataschema: string;
  readonly data: JsonObject;
}

/** The library digests text: bytes that are no UTF-8 must not turn into some that are. */
function textOf(body: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    throw new WebhookVerificationError("the body is not UTF-8");
  }
}

function lastPart(address: string): string {
  return address.slice(address.lastIndexOf("/") + 1);
}
