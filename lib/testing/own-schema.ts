import { randomUUID } from 'node:crypto';
import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { loadModule } from '../typeorm/modules.js';
import type { PgModule } from '../typeorm/pglite/driver.js';
import { quoteIdentifier } from '../typeorm/tables.js';

/** A schema of one application's own on a server of many; it goes with the application. */
@Injectable()
export class OwnSchema implements OnApplicationShutdown {
  readonly name = `workflow_test_${randomUUID().replaceAll('-', '').slice(0, 16)}`;

  constructor(private readonly url: string) {}

  /** On a connection of its own: the pool of the library may be closed before or after this. */
  async onApplicationShutdown(): Promise<void> {
    const { Client }: PgModule = await loadModule('pg');
    const client = new Client({ connectionString: this.url });
    client.on('error', () => {});
    try {
      await client.connect();
      await client.query(`set lock_timeout = '2s'`);
      await client.query(`drop schema if exists ${quoteIdentifier(this.name)} cascade`);
    } catch {
      // what is left over takes space, and harms no other test
    } finally {
      await client.end().catch(() => {});
    }
  }
}
