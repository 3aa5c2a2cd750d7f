import { randomBytes } from 'node:crypto';
import type { webcrypto } from 'node:crypto';
import { given } from '../engine/given.js';
import { WorkflowError } from '../errors/index.js';

/** An imported key: importing costs more than signing, so it is done once. */
export type ImportedKey = webcrypto.CryptoKey;

const MIN_LENGTH = 32;
const HMAC = { name: 'HMAC', hash: 'SHA-256' } as const;

export interface SigningKeyOptions {
  /** the key that signs, at least 32 characters @default random per process */
  readonly signingKey?: string;
  /** a second key whose signatures are accepted while keys are rotated */
  readonly nextSigningKey?: string;
  /** the configured callback URL, if any: other processes answer there, so a random key would be wrong */
  readonly url?: string;
}

/** The keys of this process. Private fields: neither a log of the object nor its JSON shows a key. */
export class SigningKeys {
  readonly #current: Promise<ImportedKey>;
  readonly #accepted: Promise<ImportedKey[]>;

  /** @param generated true when no key was configured and a random one serves this process alone */
  constructor(
    current: Uint8Array,
    next: Uint8Array | undefined,
    readonly generated: boolean,
  ) {
    this.#current = importKey(current);
    this.#accepted = Promise.all(next === undefined ? [this.#current] : [this.#current, importKey(next)]);
  }

  /** The key that signs. */
  current(): Promise<ImportedKey> {
    return this.#current;
  }

  /** The keys whose signatures are accepted, the current one first. */
  accepted(): Promise<readonly ImportedKey[]> {
    return this.#accepted;
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

function importKey(bytes: Uint8Array): Promise<ImportedKey> {
  return crypto.subtle.importKey('raw', new Uint8Array(bytes), HMAC, false, ['sign', 'verify']);
}
