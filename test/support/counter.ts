import { Module, type DynamicModule } from '@nestjs/common';
import { vi } from 'vitest';
import { Clock, type SignalChannel } from '../../lib/ports/index.js';
import type { Database } from '../../lib/typeorm/database.js';
import { CLOCK_OVERRIDE } from '../../lib/workflow.tokens.js';

/** Time that stands still until a test moves it, timer by timer. */
export class TickedClock extends Clock {
  #now = 0;
  #timers: { at: number; callback: () => void }[] = [];
  sqlNow(): null {
    return null;
  }
  elapsed(): number {
    return this.#now;
  }
  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.#now + ms, callback };
    this.#timers.push(timer);
    return () => void (this.#timers = this.#timers.filter((other) => other !== timer));
  }
  /** Fires every timer of so much time, each when what the one before has begun is over. */
  async pass(ms: number, settled: () => Promise<void>): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
      await settled();
    }
    this.#now = end;
  }
}

/** What a process sends to its database, by the names of the statements. */
export class Counter {
  readonly #pending = new Set<Promise<unknown>>();
  #counts: Record<string, number> = {};

  constructor(
    private readonly database: Database,
    channel: SignalChannel,
  ) {
    database.onQuery = (name) => (this.#counts[name] = (this.#counts[name] ?? 0) + 1);
    const query = database.query.bind(database);
    vi.spyOn(database, 'query').mockImplementation((...args) => this.#track(query(...args)));
    const queryReserved = database.queryReserved.bind(database);
    vi.spyOn(database, 'queryReserved').mockImplementation((...args) => this.#track(queryReserved(...args)));
    const send = channel.send.bind(channel);
    vi.spyOn(channel, 'send').mockImplementation((signals) => {
      const sent = this.#track(send(signals));
      for (const heard of this.#onSent.splice(0)) void sent.then(heard);
      return sent;
    });
  }

  readonly #onSent: (() => void)[] = [];

  /** The next coalesced NOTIFY, committed. */
  nextSignal(): Promise<void> {
    return new Promise((resolve) => this.#onSent.push(resolve));
  }

  /** Counts since the last time it was asked. */
  take(): Record<string, number> {
    const counts = this.#counts;
    this.#counts = {};
    return counts;
  }

  /** Nothing is under way, and nothing follows from what was. */
  async settled(): Promise<void> {
    for (let quiet = 0; quiet < 3; quiet++) {
      if (this.#pending.size > 0) quiet = 0;
      await Promise.allSettled(this.#pending);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /**
   * Transactions so far, as the server counts them: `begun` on this connection (the pool here has one), and `wrote`: those of
   * the whole server that were given an id, because they wrote.
   */
  async transactions(): Promise<{ begun: number; wrote: number }> {
    const [row] = (await this.database.source.query(`
      select virtualtransaction as begun, pg_snapshot_xmax(pg_current_snapshot())::text as wrote
      from pg_locks where pid = pg_backend_pid() limit 1`)) as { begun: string; wrote: string }[];
    return { begun: Number(row!.begun.split('/')[1]), wrote: Number(row!.wrote) };
  }

  /** Rows of a table that were inserted, updated or deleted so far. */
  async rowWrites(table: string): Promise<number> {
    const { source } = this.database;
    await source.query('select pg_stat_force_next_flush()');
    const [row] = (await source.query(
      'select n_tup_ins + n_tup_upd + n_tup_del as writes from pg_stat_user_tables where relname = $1',
      [table],
    )) as { writes: string }[];
    return Number(row!.writes);
  }

  #track<T>(work: Promise<T>): Promise<T> {
    this.#pending.add(work);
    const forget = (): void => void this.#pending.delete(work);
    work.then(forget, forget);
    return work;
  }
}

@Module({})
class ClockModule {}

/** Puts a clock in the place of the application's. */
export const withClock = (clock: Clock): DynamicModule => {
  const provider = { provide: CLOCK_OVERRIDE, useValue: clock };
  return { module: ClockModule, global: true, providers: [provider], exports: [provider] };
};
