import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { errors, jwtVerify, SignJWT, type JWTPayload } from 'jose';
import { WorkflowError } from '../errors/index.js';
import { SeenTokens } from './seen-tokens.js';
import type { ImportedKey, SigningKeys } from './signing-keys.js';

/** What a signed body is; signed with it, so that a ping can never be taken for a delivery. */
export type MessageKind = 'delivery' | 'ping';

const ALGORITHM = 'HS256';
const ISSUER = 'nestjs-workflow';
const KINDS: MessageKind[] = ['delivery', 'ping'];
/** How long a signature is good: long enough for a slow network, short enough to make an old recording worthless. */
export const TOKEN_SECONDS = 60;
/** How far the clocks of two instances may differ. */
export const CLOCK_TOLERANCE_SECONDS = 5;
const REMEMBER_MS = (TOKEN_SECONDS + 2 * CLOCK_TOLERANCE_SECONDS) * 1000;

export interface SignatureOptions {
  /** milliseconds since the epoch @default Date.now */
  readonly now?: () => number;
}

const hashOf = (body: Uint8Array): string => createHash('sha256').update(body).digest('base64url');

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
  async sign(kind: MessageKind, body: Uint8Array): Promise<string> {
    const iat = Math.floor(this.#now() / 1000);
    return new SignJWT({
      iss: ISSUER,
      aud: kind,
      iat,
      exp: iat + TOKEN_SECONDS,
      jti: randomBytes(16).toString('base64url'),
      body: hashOf(body),
    })
      .setProtectedHeader({ alg: ALGORITHM })
      .sign(await this.keys.current());
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
  async verify(token: string | undefined, body: Uint8Array): Promise<MessageKind> {
    if (token === undefined || token === '') throw unsigned('it carries no signature');
    const claims = await this.#claimsOf(token);
    const { jti, body: hash, aud } = claims;
    if (typeof hash !== 'string' || !equalInConstantTime(hash, hashOf(body))) {
      throw unsigned(
        'its body is not the one that was signed; something between sender and receiver changes it',
      );
    }
    if (typeof jti !== 'string' || jti.length === 0 || jti.length > 64)
      throw unsigned('its claim "jti" is not an id');
    const kind = KINDS.find((known) => known === aud);
    if (kind === undefined) throw unsigned('its claim "aud" names no single kind of message');
    // last, so that nothing but a genuine message can fill the memory
    if (!this.#seen.add(jti, this.#now())) throw unsigned('its signature was used before');
    return kind;
  }

  async #claimsOf(token: string): Promise<JWTPayload> {
    const keys = await this.keys.accepted();
    for (const [i, key] of keys.entries()) {
      try {
        return await this.#verifyWith(key, token);
      } catch (error) {
        const otherKeyMayFit = error instanceof errors.JWSSignatureVerificationFailed && i < keys.length - 1;
        if (!otherKeyMayFit) throw unsigned(reasonOf(error), error);
      }
    }
    throw unsigned('no key is configured');
  }

  async #verifyWith(key: ImportedKey, token: string): Promise<JWTPayload> {
    const { payload } = await jwtVerify(token, key, {
      algorithms: [ALGORITHM],
      issuer: ISSUER,
      audience: KINDS,
      requiredClaims: ['iat', 'exp', 'jti', 'body'],
      // without it a token with a far `exp` would outlive the memory of used ones
      maxTokenAge: TOKEN_SECONDS,
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
      currentDate: new Date(this.#now()),
    });
    return payload;
  }
}

function unsigned(why: string, cause?: unknown): WorkflowError {
  return new WorkflowError('WF_UNSIGNED', `The message is refused: ${why}`, { cause });
}

function reasonOf(error: unknown): string {
  if (error instanceof errors.JWTExpired) {
    return 'its signature has expired; it was on its way for long, is a replay, or the clocks of the two sides differ';
  }
  if (error instanceof errors.JWTClaimValidationFailed) {
    const future = error.claim === 'iat' && error.reason === 'check_failed';
    return future
      ? 'it was signed in the future; the clocks of the two sides differ'
      : `its claim "${error.claim}" is wrong`;
  }
  if (error instanceof errors.JWSSignatureVerificationFailed)
    return 'its signature was made with another key, or altered';
  if (error instanceof errors.JOSEAlgNotAllowed) return `its signature is not ${ALGORITHM}`;
  return 'its signature is not a signed token';
}

function equalInConstantTime(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
