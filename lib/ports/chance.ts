/**
 * Where it comes from what is drawn here: the jitter of retries, and ids that nothing depends on. Production draws from the system, a
 * simulation from its seed. Not for secrets.
 */
export abstract class Chance {
  /** from 0 up to 1 */
  abstract fraction(): number;
  abstract uuid(): string;
}
