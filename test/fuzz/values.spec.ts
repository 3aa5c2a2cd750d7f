import fc from 'fast-check';
import { expect } from 'vitest';
import { StepFailedError } from 'nestjs-workflow';
import { DevalueCodec } from '../../lib/codec/devalue.codec.js';
import { decodeFailure, encodeFailure, toFailure } from '../../lib/engine/failure.js';
import { decideRetry, DEFAULT_RETRY } from '../../lib/engine/retry.js';
import { Cases, expectWorkflowError, outcomeOf } from './support.js';
import { anything, hostileProxy, text } from './strange.js';

const cases = new Cases('values');
const codec = new DevalueCodec({ maxBytes: 100_000 });

cases.property('what steps give: the codec keeps it whole, or refuses it', 4000, anything, async (value) => {
  const outcome = await outcomeOf(() => codec.encode(value, 'it'));
  if (!outcome.ok) {
    expectWorkflowError(outcome.error);
    expect((outcome.error as { code: string }).code).toMatch(/^WF_(NOT_SERIALIZABLE|TOO_LARGE)$/);
    return;
  }
  const stored = outcome.value;
  // a text column of PostgreSQL holds it
  expect(stored.isWellFormed() && !stored.includes('\0')).toBe(true);
  // the same value always gives the same text: what comes back is what was given
  expect(codec.encode(codec.decode(stored), 'it')).toBe(stored);
});

cases.property('a text that is no stored value is refused', 1000, text(60), async (stored) => {
  const outcome = await outcomeOf(() => codec.decode(stored));
  if (!outcome.ok) expectWorkflowError(outcome.error);
});

const property = fc.oneof(anything, fc.constant(undefined));
/** Errors with fields that are none, and what only looks like an error. */
const strangeError = fc
  .tuple(
    fc.boolean(),
    fc.record(
      { name: property, message: property, code: property, stack: property, cause: property, data: property },
      { requiredKeys: [] },
    ),
  )
  .map(([real, fields]) => {
    const error: object = real ? new Error('an error') : {};
    for (const [name, value] of Object.entries(fields)) {
      try {
        Object.defineProperty(error, name, { value, configurable: true });
      } catch {
        // V8 makes a text of what becomes a stack, which some values refuse
      }
    }
    return error;
  });

cases.property(
  'whatever steps throw: it becomes a failure that can be stored and shown',
  3000,
  fc.oneof(anything, strangeError, fc.constant(null).map(hostileProxy)),
  (thrown) => {
    const failure = toFailure(thrown, Date.UTC(2031, 0));
    const stored = encodeFailure(failure);
    expect(stored.isWellFormed() && !stored.includes('\0')).toBe(true);
    expect(stored.length).toBeLessThan(400_000);
    expect(decodeFailure(stored)).toEqual(JSON.parse(stored));
    const decided = decideRetry({ policy: DEFAULT_RETRY, attempts: 1, failure, now: 0, random: 0.5 });
    if (decided.retry) expect(Number.isFinite(decided.at)).toBe(true);
    expect(typeof new StepFailedError('step', 1, decodeFailure(stored)).message).toBe('string');
  },
);
