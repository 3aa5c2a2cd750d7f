import { hash, randomFillSync } from 'node:crypto';
import { WorkflowError } from '../errors/index.js';
import { SeenTokens } from './seen-tokens.js';
import type { SigningKeys } from './signing-keys.js';
import { equalInConstantTime, makeToken, openToken, TokenError } from './token.js';

/** What a signed body is; signed with it, so that a ping can never be taken for a delivery. */
export type MessageKind = 'delivery' | 'ping';

const ISSUER = 'nestjs-workflow';
const KINDS: readonly MessageKind[] = ['delivery', 'ping'];
/** How long a signature is good: long enough for a slow network, short enough to make an old recording worthless. */
export const TOKEN_SECONDS = 60;
/** How far the clocks of two instances may differ. */
export const CLOCK_TOLERANCE_SECONDS = 5;
const REMEMBER_MS = (TOKEN_SECONDS + 2 * CLOCK_TOLERANCE_SECONDS) * 1000;

export interface SignatureOptions {
  /** milliseconds since the epoch @default Date.now */
  readonly now?: () => number;
}

const hashOf = (body: Uint8Array): string => hash('sha256', body, 'base64url');

const ID_BYTES = 16;
/** Random bytes are drawn for many ids at once: the call costs as much as the rest of a signature. */
const drawn = Buffer.alloc(256 * ID_BYTES);
let used = drawn.length;

function randomId(): string {
  if (used === drawn.length) {
    randomFillSync(drawn);
    used = 0;
  }
  return drawn.toString('base64url', used, (used += ID_BYTES));
}

/** Signs bodies with the current key. */
export class MessageSigner {
  readonly #now: () => number;

  constructor(
    private readonly keys: SigningKeys,
    options: SignatureOptions = {},
  ) {
    this.#now = options.now ?? Date.now;
  }

  /** @returns value of the header `workflow-signature` for exactly these bytes, good for 60 s and for one use */
  sign(kind: MessageKind, body: Uint8Array): string {
    const iat = Math.floor(this.#now() / 1000);
    const exp = iat + TOKEN_SECONDS;
    const claims = { iss: ISSUER, aud: kind, iat, exp, jti: randomId(), body: hashOf(body) };
    return makeToken(claims, this.keys.current);
  }
}

/** Checks signatures with the current and the next key, each signature once. */
export class MessageVerifier {
  readonly #now: () => number;
  readonly #seen = new SeenTokens(REMEMBER_MS);

  constructor(
    private readonly keys: SigningKeys,
    options: SignatureOptions = {},
  ) {
    this.#now = options.now ?? Date.now;
  }

  /**
   * @returns what the signature says the body is
   * @throws WorkflowError WF_UNSIGNED, saying which check failed
   */
  verify(token: string | undefined, body: Uint8Array): MessageKind {
    if (token === undefined || token === '') throw unsigned('it carries no signature');
    const now = this.#now();
    const claims = this.#claimsOf(token);
    const { iss, aud, jti, body: signed } = claims;
    if (iss !== ISSUER) throw wrong('iss');
    const kind = KINDS.find((known) => known === aud);
    if (kind === undefined) throw wrong('aud');
    assertInTime(claims, Math.floor(now / 1000));
    if (typeof signed !== 'string' || !equalInConstantTime(signed, hashOf(body))) {
      throw unsigned(
        'its body is not the one that was signed; something between sender and receiver changes it',
      );
    }
    if (typeof jti !== 'string' || jti.length === 0 || jti.length > 64)
      throw unsigned('its claim "jti" is not an id');
    // last, so that nothing but a genuine message can fill the memory
    if (!this.#seen.add(jti, now)) throw unsigned('its signature was used before');
    return kind;
  }

  #claimsOf(token: string): Record<string, unknown> {
    try {
      return openToken(token, this.keys.accepted);
    } catch (error) {
      throw unsigned(error instanceof TokenError ? error.message : 'it cannot be read', error);
    }
  }
}

/** Claims of time, in seconds since the epoch. */
function assertInTime({ iat, exp, nbf }: Record<string, unknown>, now: number): void {
  if (!isNumber(iat)) throw wrong('iat');
  if (!isNumber(exp)) throw wrong('exp');
  if (nbf !== undefined && !(isNumber(nbf) && nbf <= now + CLOCK_TOLERANCE_SECONDS)) throw wrong('nbf');
  // the age as well: a token with a far `exp` would outlive the memory of used ones
  if (exp <= now - CLOCK_TOLERANCE_SECONDS || now - iat > TOKEN_SECONDS + CLOCK_TOLERANCE_SECONDS) {
    throw unsigned(
      'its signature has expired; it was on its way for long, is a replay, or the clocks of the two sides differ',
    );
  }
  if (iat > now + CLOCK_TOLERANCE_SECONDS) {
    throw unsigned('it was signed in the future; the clocks of the two sides differ');
  }
}

/** JSON has no NaN, but 1e999. */
const isNumber = (claim: unknown): claim is number => typeof claim === 'number' && Number.isFinite(claim);

const wrong = (claim: string): WorkflowError => unsigned(`its claim "${claim}" is wrong`);

function unsigned(why: string, cause?: unknown): WorkflowError {
  return new WorkflowError('WF_UNSIGNED', `The message is refused: ${why}`, { cause });
}
