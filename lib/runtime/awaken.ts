import type { Clock } from '../ports/index.js';
import type { RunningCode } from './running-code.js';

/** Resolves when the code has done something on its own, after so many ms, or when what is handed to `arm` is called. */
export async function awaken(
  clock: Clock,
  code: Pick<RunningCode, 'onActivity'>,
  ms: number,
  arm: (wake: () => void) => void,
): Promise<void> {
  let callOff = (): void => {};
  const before = code.onActivity;
  await new Promise<void>((resolve) => {
    arm(resolve);
    code.onActivity = resolve;
    // at least one: what is left of a wait when its timer fires may be too little for a clock to move
    if (ms < Infinity) callOff = clock.after(Math.max(1, ms), resolve);
  });
  callOff();
  code.onActivity = before;
}
