import { WorkflowError } from '../errors/index.js';
import { given } from './given.js';
import { shown, textOf } from './shown.js';

/** What becomes of a run whose singleton key another active run holds. */
export type SingletonPolicy =
  /** it waits until that one has ended; the oldest first */
  | 'queue'
  /** it is not started: the one that holds the key is given instead */
  | 'skip'
  /** that one (and whatever queues behind it) is cancelled first */
  | 'cancel-previous';

/** One run at a time for a key. */
export interface Singleton {
  /** of runs with one key, over all workflows, one is executed at a time */
  key: string;
  policy: SingletonPolicy;
}

/** As {@link Singleton}; the key may come from the payload. */
export interface KeyedSingleton<A extends any[] = any[]> {
  key: string | ((...args: A) => string);
  policy: SingletonPolicy;
}

const POLICIES: readonly unknown[] = ['queue', 'skip', 'cancel-previous'];
const MAX_KEY = 512;

/** What can be checked before there is a payload. @throws WorkflowError WF_INVALID_ARGUMENT */
export function checkSingleton(singleton: unknown): void {
  if (typeof singleton !== 'object' || singleton === null) refuse(`is ${shown(singleton)}, and no object`);
  const { key, policy } = singleton as Record<string, unknown>;
  if (!POLICIES.includes(policy))
    refuse(`has the policy ${shown(policy)}; it is 'queue', 'skip' or 'cancel-previous'`);
  if (typeof key !== 'function') checkKey(key);
}

/** A singleton ready to be stored; a key that is a function is called with `args`. @throws WorkflowError WF_INVALID_ARGUMENT */
export function resolveSingleton(singleton: unknown, args: readonly unknown[] = []): Singleton {
  return given('`singleton`', () => {
    checkSingleton(singleton);
    const { key, policy } = singleton as KeyedSingleton;
    return { key: checkKey(typeof key === 'function' ? called(key, args) : key), policy };
  });
}

function called(key: (...args: any[]) => unknown, args: readonly unknown[]): unknown {
  try {
    return key(...args);
  } catch (cause) {
    return refuse(`has a \`key\` function that threw: ${textOf(cause)}`, cause);
  }
}

function checkKey(key: unknown): string {
  if (
    typeof key !== 'string' ||
    key === '' ||
    key.length > MAX_KEY ||
    key.includes('\0') ||
    !key.isWellFormed()
  )
    refuse(`has the key ${shown(key)}; it is a string of 1 to ${MAX_KEY} characters, without NUL`);
  return key;
}

function refuse(what: string, cause?: unknown): never {
  const options = cause === undefined ? undefined : { cause };
  throw new WorkflowError('WF_INVALID_ARGUMENT', `\`singleton\` ${what}`, options);
}
