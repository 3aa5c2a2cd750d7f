import { WorkflowError } from '../errors/index.js';
import { parseDuration, type Duration } from './duration.js';
import { given } from './given.js';
import { shown, textOf } from './shown.js';

/** At least one of the two: how many at a time, how many per period. */
export type FlowLimits =
  | { parallelism: number; rate?: never; period?: never }
  | {
      /** at most so many are executed at a time, over all processes */
      parallelism?: number;
      /** at most so many start in any `period` */
      rate: number;
      /** from '1ms' to '1w' @default '1s' */
      period?: Duration;
    };

/**
 * Limits for everything that carries the key, over all workflows and processes. What exceeds them waits in line; nothing is
 * refused. Limits travel with each run and step: those seen last hold for the key.
 */
export type FlowControl = FlowLimits & { key: string };

/** As {@link FlowControl}; the key may come from what the workflow or the step is called with. */
export type KeyedFlowControl<A extends any[] = any[]> = FlowLimits & {
  key: string | ((...args: A) => string);
};

/** Flow control as it is stored: checked, with a key; `rate` and `periodMs` go together. */
export interface ResolvedFlow {
  readonly key: string;
  readonly parallelism: number | null;
  readonly rate: number | null;
  readonly periodMs: number | null;
}

const DEFAULT_PERIOD_MS = 1000;
const MAX_PERIOD_MS = 7 * 86_400_000;
/** what a PostgreSQL integer holds */
const MAX_COUNT = 2 ** 31 - 1;
const MAX_KEY = 512;

/** The limits alone, for what is checked before there is a key. @throws WorkflowError WF_INVALID_FLOW_CONTROL */
export function checkFlowControl(flow: unknown, of: string): Omit<ResolvedFlow, 'key'> {
  if (typeof flow !== 'object' || flow === null)
    refuse(of, `is ${shown(flow)}, and no object with a \`key\``);
  const { key, parallelism, rate, period } = flow as Record<string, unknown>;
  if (typeof key !== 'function') checkKey(key, of);
  if (parallelism === undefined && rate === undefined)
    refuse(of, 'has neither `parallelism` nor `rate`, one of which it needs');
  if (period !== undefined && rate === undefined) refuse(of, 'has a `period` and no `rate`');
  return {
    parallelism: countOf(parallelism, 'parallelism', of),
    rate: countOf(rate, 'rate', of),
    periodMs: rate === undefined ? null : periodOf(period, of),
  };
}

/** Flow control ready to be stored; a key that is a function is called with `args`. @throws WorkflowError WF_INVALID_FLOW_CONTROL */
export function resolveFlowControl(flow: unknown, of: string, args: readonly unknown[] = []): ResolvedFlow {
  return given(`Flow control of ${of}`, () => {
    const limits = checkFlowControl(flow, of);
    const { key } = flow as KeyedFlowControl;
    return { key: checkKey(typeof key === 'function' ? called(key, args, of) : key, of), ...limits };
  });
}

function called(key: (...args: any[]) => unknown, args: readonly unknown[], of: string): unknown {
  try {
    return key(...args);
  } catch (cause) {
    return refuse(of, `has a \`key\` function that threw: ${textOf(cause)}`, cause);
  }
}

/** @throws WorkflowError WF_INVALID_FLOW_CONTROL */
export function checkKey(key: unknown, of: string): string {
  if (typeof key !== 'string' || key === '') refuse(of, 'needs a `key`, a string that is not empty');
  if (key.length > MAX_KEY) refuse(of, `has a \`key\` of more than ${MAX_KEY} characters`);
  if (key.includes('\0') || !key.isWellFormed())
    refuse(of, `has a \`key\` ${JSON.stringify(key)} with a NUL or half of a character`);
  return key;
}

function countOf(value: unknown, name: string, of: string): number | null {
  if (value === undefined) return null;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > MAX_COUNT)
    refuse(of, `has a \`${name}\` of ${shown(value)}; it is a whole number above zero`);
  return value;
}

function periodOf(period: unknown, of: string): number {
  if (period === undefined) return DEFAULT_PERIOD_MS;
  let ms = NaN;
  try {
    ms = parseDuration(period as Duration);
  } catch {
    // no duration: refused below, in the words of this option
  }
  if (!(ms >= 1 && ms <= MAX_PERIOD_MS))
    refuse(of, `has a \`period\` of ${shown(period)}; it is a duration from '1ms' to '1w'`);
  return ms;
}

function refuse(of: string, what: string, cause?: unknown): never {
  const options = cause === undefined ? undefined : { cause };
  throw new WorkflowError('WF_INVALID_FLOW_CONTROL', `Flow control of ${of} ${what}`, options);
}
