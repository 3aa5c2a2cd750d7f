import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate, inflateRaw } from 'node:zlib';

/** The body is longer than it may be. */
export class BodyTooLarge extends Error {
  override readonly name = 'BodyTooLarge';
}

type Headers = Readonly<Record<string, string>>;
type Decoder = (bytes: Buffer, maxOutputLength: number) => Promise<Buffer>;

/** What we ask for and can undo. */
export const ACCEPT_ENCODING = 'gzip, deflate, br';

const DECODERS: ReadonlyMap<string, Decoder> = new Map<string, Decoder>([
  ['gzip', decoder(gunzip)],
  ['x-gzip', decoder(gunzip)],
  ['br', decoder(brotliDecompress)],
  ['deflate', (bytes, limit) => decoder(hasZlibHeader(bytes) ? inflate : inflateRaw)(bytes, limit)],
]);
/** More than anybody needs; each one is a multiplication. */
const MAX_ENCODINGS = 3;
/** Nesting at which parsed JSON is taken for text: the response around it has to be stored too. */
const MAX_JSON_DEPTH = 900;

/**
 * Reads a body of at most `limit` bytes. What is read beyond is one chunk; the source is destroyed at once.
 * @throws BodyTooLarge; whatever the source breaks with
 */
export async function readBody(source: AsyncIterable<Buffer>, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  // leaving the loop early destroys a stream
  for await (const chunk of source) {
    size += chunk.length;
    if (size > limit) throw new BodyTooLarge();
    chunks.push(chunk);
  }
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, size);
}

/** How many bytes of an encoded body are read: what cannot be compressed becomes a little longer. */
export function wireLimit(headers: Headers, limit: number): number {
  return headers['content-encoding'] === undefined ? limit : limit + Math.ceil(limit / 64) + 1024;
}

/**
 * Undoes `content-encoding`; the headers that no longer hold are left out. An encoding that is not known stays, with its header.
 * @param limit of what comes out, in bytes; no more is ever held in memory
 * @throws BodyTooLarge; an error of zlib for what is broken or cut off
 */
export async function decodeBody(
  bytes: Buffer,
  headers: Headers,
  limit: number,
): Promise<{ bytes: Buffer; headers: Headers }> {
  const names = (headers['content-encoding'] ?? '').split(',').map((name) => name.trim().toLowerCase());
  const encodings = names.filter((name) => name !== '' && name !== 'identity');
  const known = encodings.every((name) => DECODERS.has(name)) && encodings.length <= MAX_ENCODINGS;
  if (encodings.length === 0 || bytes.length === 0 || !known) {
    if (bytes.length > limit) throw new BodyTooLarge();
    return { bytes, headers };
  }
  let decoded = bytes;
  for (const name of encodings.toReversed()) decoded = await DECODERS.get(name)!(decoded, limit);
  const { 'content-encoding': _encoding, 'content-length': _length, ...rest } = headers;
  return { bytes: decoded, headers: rest };
}

/** The body as its type says: see `CallResponse.body`. Never throws. */
export function bodyOf(bytes: Buffer, contentType: string | undefined): unknown {
  const [type = '', ...parameters] = (contentType ?? '').toLowerCase().split(';');
  const mime = type.trim();
  const json = /^(application|text)\/json$|^[\w.-]+\/[^\s/]+\+json$/.test(mime);
  const text = /^text\/|\+xml$|^application\/(xml|x-www-form-urlencoded)$/.test(mime);
  if (bytes.length === 0) return text && !json ? '' : undefined;
  if (!json && !text) return bytes;
  const decoded = textOf(bytes, parameters);
  return json ? parsed(decoded) : decoded;
}

function textOf(bytes: Buffer, parameters: readonly string[]): string {
  const charset = parameters.map((one) => /^\s*charset\s*=\s*"?([^\s"]+)"?\s*$/.exec(one)?.[1]).find(Boolean);
  try {
    return new TextDecoder(charset ?? 'utf-8').decode(bytes);
  } catch {
    // a charset nobody knows
    return new TextDecoder().decode(bytes);
  }
}

function parsed(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return isStorable(value) ? value : text;
  } catch {
    return text;
  }
}

/** False for JSON that no journal keeps: nested too deep, or with a property that would change a prototype. */
function isStorable(json: unknown): boolean {
  let level: unknown[] = [json];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_JSON_DEPTH) return false;
    const next: unknown[] = [];
    for (const value of level) {
      if (typeof value !== 'object' || value === null) continue;
      if (Object.hasOwn(value, '__proto__')) return false;
      for (const inner of Object.values(value)) if (typeof inner === 'object') next.push(inner);
    }
    level = next;
  }
  return true;
}

function decoder(
  decode: (
    bytes: Buffer,
    options: { maxOutputLength: number },
    done: (e: Error | null, b: Buffer) => void,
  ) => void,
): Decoder {
  const promised = promisify(decode);
  return async (bytes, maxOutputLength) => {
    try {
      return await promised(bytes, { maxOutputLength });
    } catch (error) {
      throw (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? new BodyTooLarge() : error;
    }
  };
}

/** Some servers leave out the wrapper that "deflate" means. */
function hasZlibHeader(bytes: Buffer): boolean {
  return (bytes[0]! & 0x0f) === 8;
}
