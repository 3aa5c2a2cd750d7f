import { DeliveryError, type DeliveryReply } from '../ports/index.js';
import type { RawAnswer } from './exchange.js';
import { isRecord, PROTOCOL_HEADER, readError, readJson, readReply } from './protocol.js';

type Fate = DeliveryError['fate'];

/**
 * What an answer means for the task. Only an answer that bears the header of the protocol speaks for the endpoint; any other
 * comes from something in front of it (proxy, login page, the application itself) and may say as much as "nothing got past
 * me", but never "this was executed".
 * @returns a DeliveryError for everything but a reply
 */
export function replyOf(what: () => string, answer: RawAnswer): DeliveryReply | DeliveryError {
  const body = readJson(answer.text);
  const ours = answer.headers[PROTOCOL_HEADER] !== undefined;
  const { status } = answer;
  if (ours) {
    if (status === 409) return { next: 'stale' };
    if (status === 202) return { next: 'adopted' };
    const reply = status === 200 ? readReply(body) : undefined;
    if (reply) return reply;
  }
  const fate = ours ? fateOfOurs(status) : fateOfForeign(status, body);
  return new DeliveryError(`${what()} ${describe(answer)}`, fate, status);
}

/** `answered 401: WF_UNSIGNED: …`, or the beginning of a page that is not of the protocol. */
export function describe(answer: RawAnswer): string {
  const error = readError(readJson(answer.text));
  const location = answer.headers['location'];
  const to = typeof location === 'string' ? ` (a redirect to ${location.slice(0, 200)}, not followed)` : '';
  const said = error ? `${error.code}: ${error.message}` : JSON.stringify(answer.text.slice(0, 200));
  return `was answered ${answer.status}${to}: ${said}`;
}

function fateOfOurs(status: number): Fate {
  if (status === 408 || status === 421 || status === 429 || status === 503) return 'not-sent';
  if (status >= 400 && status < 500) return 'refused';
  if (status >= 500) return 'failed';
  return 'unknown';
}

function fateOfForeign(status: number, body: unknown): Fate {
  // Fastify while it closes, before any hook: with `return503OnClosing`
  if (status === 503 && isFastifyClosing(body)) return 'not-sent';
  if (status === 421 || status === 429) return 'not-sent';
  // a gateway gives these also when it has passed the request on: 502 and 504 by definition, 503 at Envoy and Heroku
  if (status === 408 || status === 502 || status === 503 || status === 504 || status >= 520) return 'unknown';
  if (status >= 500) return 'failed';
  // redirects are configuration: http for https, a login page
  if (status >= 300) return 'refused';
  return 'unknown';
}

function isFastifyClosing(body: unknown): boolean {
  if (!isRecord(body)) return false;
  const { code, statusCode, error, message } = body;
  return (
    code === 'FST_ERR_CLOSING' ||
    (statusCode === 503 && error === 'Service Unavailable' && message === 'Service Unavailable')
  );
}
