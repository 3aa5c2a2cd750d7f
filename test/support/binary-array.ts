/** A parameter of a flush, as the values it was made of; `lib/typeorm/binary-array.ts` writes it. */
export function decodeArray(parameter: unknown): unknown[] {
  if (!Buffer.isBuffer(parameter)) throw new TypeError('This parameter is no binary array');
  if (parameter.readInt32BE(0) === 0) return [];
  const read = READERS[parameter.readInt32BE(8)]!;
  const values: unknown[] = [];
  for (let at = 20; at < parameter.length;) {
    const size = parameter.readInt32BE(at);
    at += 4;
    values.push(size < 0 ? null : read(parameter.subarray(at, at + size)));
    at += Math.max(0, size);
  }
  return values;
}

const READERS: Record<number, (bytes: Buffer) => unknown> = {
  16: (bytes) => bytes[0] === 1,
  20: (bytes) => String(bytes.readBigInt64BE()),
  21: (bytes) => bytes.readInt16BE(),
  23: (bytes) => bytes.readInt32BE(),
  25: (bytes) => bytes.toString('utf8'),
  701: (bytes) => bytes.readDoubleBE(),
  2950: (bytes) => bytes.toString('hex'),
};

/** One of the statements of a flush. */
export const isCommit = (name: string): boolean => name.startsWith('workflow_commit');

/** Parameters of a flush of plain steps (`typeorm/plain-steps.ts`), of which every run goes on. */
const PLAIN = 13;

/** What becomes of the runs of a flush, from its parameters; those of one commit are no arrays. */
export function nextsOf(values: readonly unknown[]): readonly string[] {
  if (values.length === PLAIN) return ['continue'];
  const next = values[6];
  return typeof next === 'string' ? [next] : (decodeArray(next) as string[]);
}
