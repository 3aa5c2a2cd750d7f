import type pg from 'pg';
import { quoteIdentifier } from './tables.js';

export type NotificationHandler = (payload: string) => void;

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 5000;

/** One LISTEN on a connection of its own, opened again whenever it is lost. */
export class Listener {
  private client: pg.Client | undefined;
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;
  private failures = 0;

  constructor(
    private readonly createClient: () => pg.Client,
    private readonly channel: string,
    private readonly handler: NotificationHandler,
    private readonly onReconnect: () => void,
  ) {}

  /** Resolves once it listens; rejects when the connection cannot be made. */
  start(): Promise<void> {
    return this.open();
  }

  /** Idempotent; nothing is called afterwards. */
  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    const { client } = this;
    this.client = undefined;
    await client?.end().catch(() => undefined);
  }

  private async open(): Promise<void> {
    const client = this.createClient();
    this.client = client;
    // both may come, and both while connecting, when the rejection of connect() or query() tells already
    let listening = false;
    const lost = (): void => {
      if (listening) this.reopenLater(client);
    };
    client.on('error', lost);
    client.on('end', lost);
    client.on('notification', ({ channel, payload }) => {
      if (channel === this.channel && this.client === client) this.handler(payload ?? '');
    });
    try {
      await client.connect();
      await client.query(`listen ${quoteIdentifier(this.channel)}`);
    } catch (error) {
      if (this.client === client) this.client = undefined;
      void client.end().catch(() => undefined);
      throw error;
    }
    listening = true;
    this.failures = 0;
    if (this.stopped) await client.end().catch(() => undefined); // stop() came while connecting
  }

  private reopenLater(client?: pg.Client): void {
    if (this.stopped || this.client !== client) return;
    this.client = undefined;
    void client?.end().catch(() => undefined);
    const delay = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.failures);
    this.failures += 1;
    // half of it at random: all processes lose their connections in the same moment
    this.timer = setTimeout(() => void this.reopen(), delay * (0.5 + Math.random() / 2));
    // a process that only waits to listen again has nothing left to do
    this.timer.unref();
  }

  private async reopen(): Promise<void> {
    try {
      await this.open();
    } catch {
      this.reopenLater();
      return;
    }
    if (!this.stopped) this.onReconnect();
  }
}
