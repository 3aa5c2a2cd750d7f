/** What is said between processes: `due` (tasks to claim) and `ended` (results to fetch). Hints only: polling stands behind both. */
export type Signal = 'due' | 'ended';

/** The way to other processes; the storage brings it. */
export abstract class SignalChannel {
  abstract send(signals: readonly Signal[]): Promise<void>;
  /** @param onGap called after the connection was lost for a while: signals may have been missed */
  abstract listen(
    onSignals: (signals: readonly Signal[]) => void,
    onGap: () => void,
  ): Promise<() => Promise<void>>;
}
