import type { Clock } from '../ports/index.js';

/** What the work gives, or `late` when it has not been done within so many ms. The work itself goes on. */
export async function within<T>(clock: Clock, ms: number, work: Promise<T>): Promise<T | 'late'> {
  let callOff = (): void => {};
  const late = new Promise<'late'>((resolve) => {
    callOff = clock.after(ms, () => resolve('late'));
  });
  return Promise.race([work, late]).finally(() => callOff());
}
