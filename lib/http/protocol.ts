import { isUtf8 } from 'node:buffer';
import { WorkflowError } from '../errors/index.js';
import type { Delivery, DeliveryReply } from '../ports/index.js';

/** Version of the step-callback protocol; part of the content type, so that two versions never read each other's bodies. */
export const PROTOCOL_VERSION = 1;
/** A type of its own: body parsers of the host application leave these bytes alone, and the signature covers bytes. */
export const CONTENT_TYPE = `application/vnd.nestjs-workflow.v${PROTOCOL_VERSION}+json`;
/** JWT over the body of a request. */
export const SIGNATURE_HEADER = 'workflow-signature';
/** On every answer of an endpoint: tells its answers from those of a proxy, a login page or the host application. */
export const PROTOCOL_HEADER = 'workflow-protocol';
/** Last segment of the callback route. */
export const DELIVER_ROUTE = 'deliver';
/** Deliveries carry no journal, so a large one is no delivery. */
export const MAX_BODY_BYTES = 64 * 1024;

/** Asks whether this is an endpoint that shares the key. */
export interface Ping {
  readonly ping: string;
}
/** Answer to a ping: its nonce, and who answered. */
export interface Pong {
  readonly pong: string;
  readonly instance: string;
}
/** Body of every answer that is no reply. Never holds a stack. */
export interface ErrorBody {
  readonly code: string;
  readonly message: string;
}

const MAX_INT4 = 2_147_483_647;
const MAX_INT8 = 9_223_372_036_854_775_807n;

// PostgreSQL stores no NUL. No limit of length but that of the body: what could be stored must be deliverable
const isText = (value: unknown): value is string =>
  typeof value === 'string' && value.length > 0 && !value.includes('\0');
// the columns are of 32 bits: a statement with more would be refused by the database, and not by us
const isCount = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MAX_INT4;
const isRowId = (value: unknown): value is string =>
  typeof value === 'string' && /^\d{1,19}$/.test(value) && (value.length < 19 || BigInt(value) <= MAX_INT8);

const TEXT = 'a text that is not empty and has no NUL';
const COUNT = 'a whole number of 31 bits, zero or more';
interface Field<T> {
  readonly check: (value: unknown) => value is T;
  readonly is: string;
  readonly optional?: true;
}
/** One entry per field of T: a field added to the interface and not here does not compile. */
type FieldsOf<T> = { readonly [K in keyof T]-?: Field<Exclude<T[K], undefined>> };
const DELIVERY_FIELDS: FieldsOf<Delivery> = {
  workflow: { check: isText, is: TEXT },
  version: {
    check: (value): value is string | null => value === null || isText(value),
    is: `null or ${TEXT}`,
  },
  runId: { check: isText, is: TEXT },
  taskId: { check: isRowId, is: 'a text of decimal digits within 64 bits' },
  fence: { check: isCount, is: COUNT },
  seq: { check: isCount, is: COUNT },
  step: { check: isText, is: TEXT, optional: true },
};
const PING_FIELDS: FieldsOf<Ping> = { ping: { check: isText, is: TEXT } };

/** The bytes of a delivery: the known fields in one order, whatever else the object holds. */
export function encodeDelivery(delivery: Delivery): Buffer {
  const { workflow, version, runId, taskId, fence, seq, step } = delivery;
  return Buffer.from(JSON.stringify({ workflow, version, runId, taskId, fence, seq, step }));
}

/** @throws WorkflowError WF_BAD_DELIVERY that names the field */
export function parseDelivery(bytes: Buffer): Delivery {
  return parseStrictly(bytes, DELIVERY_FIELDS, 'delivery');
}

/** @throws WorkflowError WF_BAD_DELIVERY that names the field */
export function parsePing(bytes: Buffer): Ping {
  return parseStrictly(bytes, PING_FIELDS, 'ping');
}

/** The reply in a body, or undefined when it is none. Unknown fields are left out: a newer endpoint may say more. */
export function readReply(value: unknown): DeliveryReply | undefined {
  if (!isRecord(value)) return undefined;
  switch (value['next']) {
    case 'continue':
      return isCount(value['seq']) ? { next: 'continue', seq: value['seq'] } : undefined;
    case 'waiting': {
      const dueInMs = value['dueInMs'];
      return typeof dueInMs === 'number' && dueInMs >= 0 ? { next: 'waiting', dueInMs } : { next: 'waiting' };
    }
    case 'finished':
    case 'done':
    case 'adopted':
    case 'stale':
      return { next: value['next'] };
    default:
      return undefined;
  }
}

/** The error in a body, or undefined when it is none. */
export function readError(value: unknown): ErrorBody | undefined {
  if (!isRecord(value) || typeof value['code'] !== 'string' || typeof value['message'] !== 'string')
    return undefined;
  return { code: value['code'], message: value['message'] };
}

/** JSON of an answer's body, or undefined when it is none. */
export function readJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** A JSON object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseStrictly<T>(bytes: Buffer, fields: FieldsOf<T>, what: string): T {
  let value: unknown;
  try {
    if (!isUtf8(bytes)) throw new TypeError('The bytes are not UTF-8');
    value = JSON.parse(bytes.toString());
  } catch (cause) {
    throw new WorkflowError('WF_BAD_DELIVERY', `The body of the ${what} is not JSON in UTF-8`, { cause });
  }
  assertFields(value, fields, `The body of the ${what}`);
  return value;
}

function assertFields<T>(value: unknown, fields: FieldsOf<T>, what: string): asserts value is T {
  const bad = (why: string): WorkflowError => new WorkflowError('WF_BAD_DELIVERY', `${what} ${why}`);
  if (!isRecord(value)) throw bad('is not a JSON object');
  for (const name of Object.keys(value)) {
    if (!Object.hasOwn(fields, name)) throw bad(`has the unknown field ${JSON.stringify(name.slice(0, 64))}`);
  }
  for (const name in fields) {
    const field: Field<unknown> = fields[name];
    if (!Object.hasOwn(value, name)) {
      if (field.optional) continue;
      throw bad(`lacks the field "${name}"`);
    }
    if (!field.check(value[name])) throw bad(`has a field "${name}" that is not ${field.is}`);
  }
}
