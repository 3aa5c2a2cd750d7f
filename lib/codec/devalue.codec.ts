import { parse, stringify } from 'devalue';
import { WorkflowError } from '../errors/index.js';
import { Codec } from '../ports/codec.js';
import { isPlainJson } from './plain-json.js';
import { NotStorable, StoredError, toStorable } from './storable.js';

/** Never the first character of a JSON text. */
const RICH = '~';

const REDUCERS = {
  // in an array, because devalue skips what is falsy, and the text of an empty Buffer is
  Buffer: (value: unknown) => Buffer.isBuffer(value) && [value.toString('base64')],
  Error: (value: unknown) => value instanceof StoredError && value.fields,
};

const REVIVERS = {
  Buffer: ([text]: [string]) => Buffer.from(text, 'base64'),
  Error: reviveError,
};

/**
 * Values to text that a person can read in SQL where JSON suffices, and that keeps what JSON would lose where it does not.
 *
 * - Plain JSON values are stored as JSON text.
 * - All else is stored as `~` and the text of devalue: undefined, NaN, ±Infinity, -0, bigint, Date, RegExp, URL,
 *   URLSearchParams, Map, Set, Buffer, typed arrays, DataView, ArrayBuffer, sparse arrays, cycles, shared references.
 * - Errors come back as Error with name, message, code and cause; class instances and null-prototype objects as plain
 *   objects of their own enumerable properties; boxed primitives as primitives. Views on one buffer come back with a
 *   buffer each. Named properties of arrays are not kept.
 *
 * The text holds no NUL character and no lone surrogate, both of which PostgreSQL refuses; strings that contain them
 * come back whole. The same value always gives the same text.
 */
export class DevalueCodec extends Codec {
  private readonly maxBytes: number;

  /** @param options.maxBytes limit of one text, in bytes of UTF-8 */
  constructor(options: { readonly maxBytes: number }) {
    super();
    this.maxBytes = options.maxBytes;
  }

  encode(value: unknown, what: string): string {
    const text = isPlainJson(value) ? JSON.stringify(value) : encodeRich(value, what);
    // a UTF-16 unit is at most 3 bytes: short texts need no counting
    const bytes = text.length * 3 > this.maxBytes ? Buffer.byteLength(text) : 0;
    if (bytes > this.maxBytes) {
      throw new WorkflowError(
        'WF_TOO_LARGE',
        `${what} is ${bytes} bytes long, and at most ${this.maxBytes} are allowed`,
      );
    }
    return text;
  }

  /** @throws WorkflowError WF_INVALID_ARGUMENT for a text that `encode` did not write */
  decode(text: string): unknown {
    try {
      return text.startsWith(RICH) ? parse(text.slice(RICH.length), REVIVERS) : JSON.parse(text);
    } catch (cause) {
      throw new WorkflowError(
        'WF_INVALID_ARGUMENT',
        'A stored value cannot be read: it was not written by this codec',
        {
          cause,
        },
      );
    }
  }
}

function encodeRich(value: unknown, what: string): string {
  try {
    const storable = toStorable(value);
    // an instance of a class with nothing but JSON in it is as readable as a plain object
    if (isPlainJson(storable)) return JSON.stringify(storable);
    return RICH + escapeLoneSurrogates(stringify(storable, REDUCERS));
  } catch (cause) {
    const problem = cause instanceof NotStorable ? cause.message : 'reading it failed';
    throw new WorkflowError('WF_NOT_SERIALIZABLE', `${what} cannot be stored: ${problem}`, { cause });
  }
}

/** devalue leaves them as they are, and UTF-8 has no bytes for them. They only stand inside the strings of its text. */
function escapeLoneSurrogates(text: string): string {
  return text.replace(/\p{Surrogate}/gu, (unit) => `\\u${unit.charCodeAt(0).toString(16)}`);
}

function reviveError(fields: StoredError['fields']): Error {
  const error = new Error(String(fields.message), 'cause' in fields ? { cause: fields.cause } : undefined);
  // not enumerable, as on errors that a class made
  Object.defineProperty(error, 'name', { value: fields.name, writable: true, configurable: true });
  // the frames would be those of the codec
  error.stack = `${String(fields.name)}: ${error.message}`;
  return 'code' in fields ? Object.assign(error, { code: fields.code }) : error;
}
