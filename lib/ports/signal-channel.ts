/**
 * What is said between processes: `due` (tasks to claim), `ended` (results to fetch) and `schedules` (one has another next time).
 * Hints only: polling stands behind each.
 */
export type Signal = 'due' | 'ended' | 'schedules';

/** The way to other processes; the storage brings it. */
export abstract class SignalChannel {
  abstract send(signals: readonly Signal[]): Promise<void>;
  /** @param onGap called after the connection was lost for a while: signals may have been missed */
  abstract listen(
    onSignals: (signals: readonly Signal[]) => void,
    onGap: () => void,
  ): Promise<() => Promise<void>>;
}
