import { createSecretKey, randomBytes, type KeyObject } from 'node:crypto';
import { given } from '../engine/given.js';
import { WorkflowError } from '../errors/index.js';

const MIN_LENGTH = 32;

export interface SigningKeyOptions {
  /** the key that signs, at least 32 characters @default random per process */
  readonly signingKey?: string;
  /** a second key whose signatures are accepted while keys are rotated */
  readonly nextSigningKey?: string;
  /** the configured callback URL, if any: other processes answer there, so a random key would be wrong */
  readonly url?: string;
}

/** The keys of this process. Objects of node:crypto: neither a log of one nor its JSON shows a key. */
export class SigningKeys {
  /** The key that signs. */
  readonly current: KeyObject;
  /** The keys whose signatures are accepted, the current one first. */
  readonly accepted: readonly KeyObject[];

  /** @param generated true when no key was configured and a random one serves this process alone */
  constructor(
    current: Uint8Array,
    next: Uint8Array | undefined,
    readonly generated: boolean,
  ) {
    this.current = createSecretKey(current);
    this.accepted = next === undefined ? [this.current] : [this.current, createSecretKey(next)];
  }
}

/**
 * Keys from the options of the module.
 * @throws WorkflowError WF_INVALID_OPTIONS when a key is shorter than 32 characters, or only the next one is given;
 * WF_SIGNING_KEY_MISSING when a URL is configured without a key.
 */
export function createSigningKeys(options: SigningKeyOptions = {}): SigningKeys {
  const { signingKey, nextSigningKey, url } = given(
    'Option `http`',
    () => ({ ...options }),
    'WF_INVALID_OPTIONS',
  );
  if (signingKey === undefined) {
    if (nextSigningKey !== undefined) {
      throw new WorkflowError(
        'WF_INVALID_OPTIONS',
        '`http.nextSigningKey` is set, but `http.signingKey` is not',
      );
    }
    if (url !== undefined) {
      const what = 'A URL is configured for callbacks, but no key to sign them with';
      throw new WorkflowError('WF_SIGNING_KEY_MISSING', what);
    }
    return new SigningKeys(randomBytes(32), undefined, true);
  }
  const next = nextSigningKey === undefined ? undefined : keyBytes('nextSigningKey', nextSigningKey);
  return new SigningKeys(keyBytes('signingKey', signingKey), next, false);
}

function keyBytes(option: string, key: unknown): Uint8Array {
  if (typeof key !== 'string' || key.length < MIN_LENGTH) {
    const found = typeof key === 'string' ? `has ${key.length} characters` : 'is not a text';
    throw new WorkflowError(
      'WF_INVALID_OPTIONS',
      `\`http.${option}\` ${found}; at least ${MIN_LENGTH} are needed`,
    );
  }
  return Buffer.from(key, 'utf8');
}
