import { Inject, Injectable } from '@nestjs/common';
import { Clock, SignalChannel, type EndedRun, type Signal } from '../ports/index.js';
import { RuntimeConfig } from './config.js';

/** Tells this process at once, and the others at most once in `announceMs`: NOTIFY takes a database-wide lock at commit. */
@Injectable()
export class Signals {
  readonly #listeners: Record<Signal, Set<() => void>> = {
    due: new Set(),
    ended: new Set(),
    schedules: new Set(),
  };
  readonly #outgoing = new Set<Signal>();
  #timer: (() => void) | undefined;
  #stop: (() => Promise<void>) | undefined;
  #sending: Promise<void> = Promise.resolve();

  constructor(
    private readonly channel: SignalChannel,
    private readonly clock: Clock,
    @Inject(RuntimeConfig) private readonly config: RuntimeConfig,
  ) {}

  async start(): Promise<void> {
    const tell = (signals: readonly Signal[]): void => signals.forEach((signal) => this.tell(signal));
    this.#stop = await this.channel.listen(tell, () => tell(['due', 'ended', 'schedules']));
  }

  async stop(): Promise<void> {
    this.#timer?.();
    this.#timer = undefined;
    this.#send();
    await this.#sending;
    await this.#stop?.();
    this.#stop = undefined;
  }

  on(signal: Signal, listener: () => void): () => void {
    this.#listeners[signal].add(listener);
    return () => this.#listeners[signal].delete(listener);
  }

  readonly #endListeners = new Set<(run?: EndedRun) => void>();

  /** As `on('ended')`; told how as well when the run has ended here. */
  onEnded(listener: (run?: EndedRun) => void): () => void {
    const anything = (): void => listener();
    this.#listeners.ended.add(anything);
    this.#endListeners.add(listener);
    return () => {
      this.#listeners.ended.delete(anything);
      this.#endListeners.delete(listener);
    };
  }

  readonly #underWay = new Set<string>();

  /** This process advances the run from now on. */
  begin(runId: string): void {
    this.#underWay.add(runId);
  }

  /** It does so no more, or says now how the run has ended. */
  leave(runId: string): void {
    this.#underWay.delete(runId);
  }

  /** True while the run may still be told of by `onEnded`. Not a promise: this process may lose it to another one. */
  isUnderWay(runId: string): boolean {
    return this.#underWay.has(runId);
  }

  /** A run has ended here, durably: who awaits it in this process need not read how. */
  announceEnd(run: EndedRun): void {
    for (const listener of this.#endListeners) listener(run);
    this.announceElsewhere('ended');
  }

  readonly #dueListeners = new Set<(inMs: number) => void>();

  /** Called when a task of this process becomes due by time alone, in so many ms. */
  onDueIn(listener: (inMs: number) => void): () => void {
    this.#dueListeners.add(listener);
    return () => this.#dueListeners.delete(listener);
  }

  noteDue(inMs: number): void {
    for (const listener of this.#dueListeners) listener(inMs);
  }

  /** Only this process. */
  tell(signal: Signal): void {
    for (const listener of this.#listeners[signal]) listener();
  }

  announceDue(): void {
    this.#announce('due');
  }
  announceEnded(): void {
    this.#announce('ended');
  }
  announceSchedules(): void {
    this.#announce('schedules');
  }

  /** This process knows already, or does it itself; only the others are told. */
  announceElsewhere(signal: Signal): void {
    this.#outgoing.add(signal);
    this.#timer ??= this.clock.after(this.config.announceMs, () => {
      this.#timer = undefined;
      this.#send();
    });
  }

  #announce(signal: Signal): void {
    this.tell(signal);
    this.announceElsewhere(signal);
  }

  #send(): void {
    if (this.#outgoing.size === 0 || !this.#stop) return;
    const signals = [...this.#outgoing];
    this.#outgoing.clear();
    // a lost signal costs one poll interval
    this.#sending = this.channel.send(signals).catch(() => {});
  }
}
