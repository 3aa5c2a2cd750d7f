import type { RequestHeaders } from './host.js';
import { Refusal } from './refusal.js';

/** Said about one connection, and not by the sender. */
const OF_CONNECTION: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** The check of the sender is given them; a journal, which people read, is no place for them. */
const SECRETS: ReadonlySet<string> = new Set(['authorization', 'cookie']);

type Parameters = Record<string, string | string[]>;

/** All headers, in lower case; those of HTTP/2 that start with a colon are no headers. */
export function headersOf(headers: RequestHeaders): Record<string, string> {
  const all = Object.entries(headers).filter(([name, value]) => value !== undefined && !name.startsWith(':'));
  return Object.fromEntries(
    all.map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value!]),
  );
}

/** What the run is given of them: none of the connection, also those it names itself, and no secrets. */
export function headersForRun(all: Readonly<Record<string, string>>): Record<string, string> {
  const named = new Set((all['connection'] ?? '').split(',').map((name) => name.trim().toLowerCase()));
  return Object.fromEntries(
    Object.entries(all).filter(
      ([name]) => !OF_CONNECTION.has(name) && !SECRETS.has(name) && !named.has(name),
    ),
  );
}

/** The parameters of the URL as it came. */
export function queryOf(url: string): Parameters {
  const at = url.indexOf('?');
  return at < 0 ? {} : recordOf(new URLSearchParams(url.slice(at)));
}

/**
 * The body by its content type: JSON parsed, a form as a record, text as a string, anything else as its bytes.
 * Undefined when there is none.
 * @throws Refusal 400 for what is not what it says it is
 */
export function parseBody(contentType: string | undefined, bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined;
  const type = (contentType ?? '').split(';', 1)[0]!.trim().toLowerCase();
  if (/^(application|text)\/json$|\+json$/.test(type)) return parseJson(textOf(contentType, bytes, true));
  if (type === 'application/x-www-form-urlencoded') {
    const text = textOf(contentType, bytes);
    if (text !== undefined) return recordOf(new URLSearchParams(text));
  }
  const text = type.startsWith('text/') ? textOf(contentType, bytes) : undefined;
  // a copy: the bytes may lie in a pool that is used again
  return text ?? Uint8Array.from(bytes);
}

/** Undefined for a charset that nobody knows. A mark of the byte order goes. */
function textOf(contentType: string | undefined, bytes: Buffer, strict = false): string | undefined {
  const charset = /;\s*charset\s*=\s*"?([^\s;"]+)/i.exec(contentType ?? '')?.[1] ?? 'utf-8';
  let decoder: InstanceType<typeof TextDecoder>;
  try {
    decoder = new TextDecoder(charset, { fatal: strict });
  } catch {
    return undefined;
  }
  try {
    return decoder.decode(bytes);
  } catch {
    throw new Refusal(400, `The body is not text in ${charset.slice(0, 40)}`);
  }
}

function parseJson(text: string | undefined): unknown {
  if (text === undefined) throw new Refusal(415, 'The charset of the JSON is not known');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Refusal(400, 'The body is not JSON');
  }
  dropPrototypeKeys(value);
  return value;
}

/**
 * Takes out `__proto__`, and `constructor` with a `prototype` in it, at any depth: where somebody copies such an object
 * carelessly they would change what every other object inherits.
 */
function dropPrototypeKeys(value: unknown): void {
  // no recursion: strangers choose the depth
  const todo: unknown[] = [value];
  while (todo.length > 0) {
    const next = todo.pop();
    if (typeof next !== 'object' || next === null) continue;
    const object = next as Record<string, unknown>;
    delete object['__proto__'];
    const constructor: unknown = Object.hasOwn(object, 'constructor') ? object['constructor'] : undefined;
    if (typeof constructor === 'object' && constructor !== null && Object.hasOwn(constructor, 'prototype'))
      delete object['constructor'];
    for (const part of Object.values(object)) if (typeof part === 'object') todo.push(part);
  }
}

function recordOf(parameters: URLSearchParams): Parameters {
  const found = new Map<string, string | string[]>();
  for (const [name, value] of parameters) {
    if (name === '__proto__') continue;
    const before = found.get(name);
    if (before === undefined) found.set(name, value);
    else if (Array.isArray(before)) before.push(value);
    else found.set(name, [before, value]);
  }
  return Object.fromEntries(found);
}
