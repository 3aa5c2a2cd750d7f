import { boot, type BootOptions, type Instance } from '../races/support.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';
import { Balancer, joining } from './balancer.js';

const KEY = 'a-signing-key-for-tests-of-32-or-more-characters';

/** Applications on one database, behind one URL. */
export class Fleet {
  readonly instances: Instance[] = [];

  private constructor(
    readonly database: TestDatabase,
    readonly balancer: Balancer,
  ) {}

  static async start(by: 'requests' | 'connections' = 'requests'): Promise<Fleet> {
    return new Fleet(await createPostgres(), await Balancer.start(by));
  }

  async deploy(providers: BootOptions['providers'], more: Partial<BootOptions> = {}): Promise<Instance> {
    const instance = await boot(this.database, {
      http: { url: this.balancer.url, publicUrl: 'https://shop.test', signingKey: KEY },
      // a machine with other work on it is no reason to be presumed dead
      worker: { heartbeat: '1s', leaseTimeout: '20s', pollInterval: '100ms' },
      ...more,
      providers: [...providers, joining(this.balancer)],
    });
    this.instances.push(instance);
    return instance;
  }

  /** Closed as on SIGTERM, once the test itself asks it for nothing any more (`unused`). */
  async retire(instance: Instance, unused?: () => Promise<unknown>): Promise<void> {
    this.instances.splice(this.instances.indexOf(instance), 1);
    await unused?.();
    await instance.app.close();
  }

  async stop(): Promise<void> {
    await Promise.all(this.instances.splice(0).map(({ app }) => app.close()));
    await this.balancer.close();
    await this.database.dispose();
  }
}
