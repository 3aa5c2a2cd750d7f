import { randomUUID } from 'node:crypto';
import { SignalChannel, type Signal } from '../ports/index.js';
import type { Database } from './database.js';

const SIGNALS: readonly Signal[] = ['due', 'ended', 'schedules'];

/** LISTEN and NOTIFY. The channel carries the schema's name, for two installations in one database are two fleets. */
export class PgSignalChannel extends SignalChannel {
  readonly #channel: string;
  /** PostgreSQL tells the sender too; this process knows already */
  readonly #sender = randomUUID();

  constructor(
    private readonly database: Database,
    schema: string | undefined,
  ) {
    super();
    this.#channel = schema === undefined ? 'nestjs_workflow' : `nestjs_workflow_${schema}`.slice(0, 63);
  }

  send(signals: readonly Signal[]): Promise<void> {
    return this.database.notify(this.#channel, [this.#sender, ...signals].join(','));
  }

  listen(onSignals: (signals: readonly Signal[]) => void, onGap: () => void): Promise<() => Promise<void>> {
    const parse = (payload: string): void => {
      const [sender, ...said] = payload.split(',');
      if (sender !== this.#sender) onSignals(SIGNALS.filter((signal) => said.includes(signal)));
    };
    return this.database.listen(this.#channel, parse, onGap);
  }
}
