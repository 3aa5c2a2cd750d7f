/**
 * The little that has to be known of the PostgreSQL wire protocol (version 3).
 * A message is one type byte, a length of four bytes that counts itself, and a body.
 */
export const FrontendType = {
  bind: 0x42, // B
  close: 0x43, // C
  describe: 0x44, // D
  execute: 0x45, // E
  parse: 0x50, // P
  query: 0x51, // Q
  sync: 0x53, // S
  flush: 0x48, // H
  terminate: 0x58, // X
  copyDone: 0x63, // c
  copyFail: 0x66, // f
  functionCall: 0x46, // F
} as const;

const BackendType = { notification: 0x41 /* A */, readyForQuery: 0x5a /* Z */ } as const;

/** After one of these the client waits for an answer, so all that was collected goes to the database. */
const ASKS_FOR_ANSWER: ReadonlySet<number> = new Set<number>([
  FrontendType.query,
  FrontendType.sync,
  FrontendType.flush,
  FrontendType.copyDone,
  FrontendType.copyFail,
  FrontendType.functionCall,
]);

export const asksForAnswer = (type: number): boolean => ASKS_FOR_ANSWER.has(type);

/** Length of the first message in `bytes` with its type byte, or undefined while its end has not arrived. */
export function messageLength(bytes: Buffer, at: number): number | undefined {
  if (bytes.length < at + 5) return undefined;
  const length = 1 + bytes.readInt32BE(at + 1);
  return bytes.length < at + length ? undefined : length;
}

/**
 * Gives the statement names of one connection a prefix. On a server each connection has names of its own; the one
 * session of PGlite would answer a second connection's `Parse` of the same name with 42P05.
 *
 * @param prepared collects the prefixed names, so that they can be freed with the connection
 */
export function prefixStatementName(message: Buffer, prefix: string, prepared: Set<string>): Buffer {
  let at: number;
  switch (message[0]) {
    case FrontendType.parse:
      at = 5;
      break;
    case FrontendType.bind:
      at = message.indexOf(0, 5) + 1; // after the portal
      break;
    case FrontendType.describe:
    case FrontendType.close:
      if (message[5] !== 0x53 /* 'S': a statement, not a portal */) return message;
      at = 6;
      break;
    default:
      return message;
  }
  const end = message.indexOf(0, at);
  if (end === at) return message; // the unnamed statement lives until the next Parse, which is the same batch
  const name = prefix + message.toString('utf8', at, end);
  if (message[0] === FrontendType.parse) prepared.add(name);
  const head = Buffer.from(message.subarray(0, at));
  head.writeInt32BE(message.readInt32BE(1) + Buffer.byteLength(prefix), 1);
  return Buffer.concat([head, Buffer.from(prefix, 'utf8'), message.subarray(at)]);
}

/** What PGlite answered to one batch. */
export interface Answer {
  /** of the last ReadyForQuery: `I` idle, `T` in a transaction, `E` in a failed one; undefined while none was sent */
  readonly status: string | undefined;
  readonly notifications: readonly Buffer[];
  /** the answer without the notifications, copied: PGlite reuses its memory */
  readonly rest: Buffer;
}

export function readAnswer(bytes: Uint8Array): Answer {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const notifications: Buffer[] = [];
  const kept: Buffer[] = [];
  let status: string | undefined;
  let from = 0;
  for (let at = 0; at < buffer.length;) {
    const length = 1 + buffer.readInt32BE(at + 1);
    if (buffer[at] === BackendType.notification) {
      if (at > from) kept.push(buffer.subarray(from, at));
      from = at + length;
      notifications.push(Buffer.from(buffer.subarray(at, from)));
    } else if (buffer[at] === BackendType.readyForQuery) {
      status = String.fromCharCode(buffer[at + 5]!);
    }
    at += length;
  }
  if (from < buffer.length) kept.push(buffer.subarray(from));
  return { status, notifications, rest: Buffer.concat(kept) };
}
