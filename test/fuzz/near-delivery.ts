import fc from 'fast-check';
import { delivery } from '../http/support.js';

const FIELDS = [
  'workflow',
  'version',
  'runId',
  'taskId',
  'fence',
  'seq',
  'step',
  'more',
  '__proto__',
  'constructor',
];
const wrong = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.stringify(value)),
  fc.constantFrom('1e400', '-1', '0.5', '9007199254740993', '2147483648', '"\\u0000"', '""', '"-7"', '"0x7"'),
  fc.constantFrom(
    '"\\ud800"',
    '{}',
    '[]',
    '[7]',
    'null',
    'true',
    '"9223372036854775808"',
    '"٣"',
    '{"toString":1}',
  ),
  fc.integer({ min: 1, max: 5000 }).map((depth) => '['.repeat(depth) + ']'.repeat(depth)),
  fc.integer({ min: 1, max: 60_000 }).map((length) => JSON.stringify('x'.repeat(length))),
);

/** JSON by hand: prototype keys, numbers that no double holds, and the same field twice. */
export const nearDelivery = fc
  .tuple(fc.constantFrom(...FIELDS), wrong, fc.constantFrom('replaced', 'missing', 'twice', 'cut'))
  .map(([name, value, how]) => {
    const fields = Object.entries({ ...delivery, step: 'charge' }).map(([one, is]) => [
      one,
      JSON.stringify(is),
    ]);
    const others = fields.filter(([one]) => one !== name);
    const all =
      how === 'missing' ? others : how === 'twice' ? [...fields, [name, value]] : [...others, [name, value]];
    const json = `{${all.map(([one, is]) => `${JSON.stringify(one)}:${is}`).join(',')}}`;
    return how === 'cut' ? json.slice(0, -1) : json;
  });

/** What the protocol lets through, written without looking at its code. */
export function isDelivery(json: string): boolean {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(json) as Record<string, unknown>;
  } catch {
    return false;
  }
  if (typeof value !== 'object' || value === null) return false;
  const named = (one: unknown): boolean => typeof one === 'string' && one !== '' && !one.includes('\0');
  const number = (one: unknown): boolean =>
    Number.isInteger(one) && Number(one) >= 0 && Number(one) < 2 ** 31;
  const { workflow, version, runId, taskId, fence, seq, step } = value;
  const known = Object.keys(value).every((name) => FIELDS.slice(0, 7).includes(name));
  const task = typeof taskId === 'string' && /^[0-9]{1,19}$/.test(taskId) && BigInt(taskId) < 2n ** 63n;
  return (
    known &&
    [workflow, runId].every(named) &&
    Object.hasOwn(value, 'version') &&
    (version === null || named(version)) &&
    task &&
    number(fence) &&
    number(seq) &&
    (!Object.hasOwn(value, 'step') || named(step))
  );
}
