import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { request } from 'undici';
import { Workflow, WorkflowClient, WorkflowContext, WorkflowScheduler } from 'nestjs-workflow';
import { CONTENT_TYPE, createSigningKeys, MessageSigner, SIGNATURE_HEADER } from '../../lib/http/index.js';
import { encodeDelivery } from '../../lib/http/protocol.js';
import { RunStore, type Delivery } from '../../lib/ports/index.js';
import { LocalDeliveries } from '../../lib/runtime/delivery-handlers.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';
import { boot, Executions, Gates, until, type BootOptions, type Gate, type Instance } from './support.js';

// A delivery of a process to itself goes on with what is parked there, without a load. What the load would have found out, its
// commit finds out, or its heartbeat before; and a delivery that came through others still asks the rows first.

const KEY = 'a-signing-key-for-tests-of-32-or-more-characters';
const STEPS = ['s1', 's2', 's3', 's4', 's5'];
/** Beats when the test says so. */
const STILL = { heartbeat: '1h', leaseTimeout: '3h', pollInterval: '50ms' } as const;

@Workflow({ name: 'row' })
class Row {
  constructor(readonly executions: Executions) {}
  async run(ctx: WorkflowContext<string>): Promise<string[]> {
    const results: string[] = [];
    for (const name of STEPS) {
      results.push(
        await ctx.run(name, () => {
          this.executions.add();
          return `${name} of ${ctx.payload}`;
        }),
      );
    }
    return results;
  }
}

let database: TestDatabase;
const open: (() => unknown)[] = [];
beforeEach(async () => {
  database = await createPostgres();
});
afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close();
  await database.dispose();
});

async function start(options: Partial<BootOptions> = {}): Promise<Instance> {
  const instance = await boot(database, {
    worker: STILL,
    transport: 'http',
    providers: [Row, Executions],
    ...options,
  });
  open.push(() => instance.app.close());
  return instance;
}

const storeOf = ({ app }: Instance): RunStore => app.get(RunStore, { strict: false });
const results = (payload: string): string[] => STEPS.map((name) => `${name} of ${payload}`);
const executed = (instance: Instance): string[] => instance.get(Executions).of('r');
const everything = (instance: Instance): Promise<unknown[]> =>
  Promise.all(
    ['workflow_run', 'workflow_step', 'workflow_task', 'workflow_message'].map((table) =>
      // what a cancel owes to children is paid by a pass of its own
      instance.rows(`select to_jsonb(t) - 'uncascaded' as row from ${table} t order by row`),
    ),
  );

/** A run of which two steps are done; the delivery for the third is about to be sent. */
async function afterTwo(
  gates: Gates,
  at: Instance,
): Promise<{ third: Gate; lease: { taskId: string; fence: number } }> {
  let sent = 0;
  const third = gates.hold('delivery-sent', ({ runId }) => runId === 'r' && ++sent === 3);
  open.push(third.open);
  await at.get(WorkflowClient).trigger(Row, 'first', { runId: 'r' });
  await third.reached;
  expect(executed(at)).toEqual(['s1', 's2']);
  const [task] = await at.rows<{ id: string; fence: number }>('select id, fence from workflow_task');
  return { third, lease: { taskId: task!.id, fence: task!.fence } };
}
const replies = (gates: Gates): number => gates.seen.filter(({ point }) => point === 'reply-received').length;
const received = (gates: Gates): number =>
  gates.seen.filter(({ point }) => point === 'delivery-received').length;

describe('a process that delivers to itself, and has lost the lease in between', () => {
  it.each(['before the next delivery', 'with a beat before it'] as const)(
    'to a cancel by another process, %s: nothing is written any more',
    async (when) => {
      const gates = new Gates();
      const a = await start({ probe: gates });
      const b = await start({ worker: false });
      const { third } = await afterTwo(gates, a);
      await b.get(WorkflowClient).cancel('r');
      if (when === 'with a beat before it') await a.leases.beat();
      const before = await everything(b);
      const earlier = replies(gates);
      third.open();
      await until(() => replies(gates) > earlier, 'the reply');
      expect(await everything(b)).toEqual(before);
      // as a step that executes, the next one knows of it by the next beat; then nothing more of it is started
      const late = when === 'with a beat before it' ? [] : ['s3'];
      expect(executed(a)).toEqual(['s1', 's2', ...late]);
      expect(await b.get(WorkflowClient).run(Row, 'r').get()).toMatchObject({ status: 'cancelled' });
    },
  );

  it('to a cancel of its own: no step is started any more', async () => {
    const gates = new Gates();
    const a = await start({ probe: gates });
    const { third } = await afterTwo(gates, a);
    await a.get(WorkflowClient).cancel('r');
    const before = await everything(a);
    const earlier = replies(gates);
    third.open();
    await until(() => replies(gates) > earlier, 'the reply');
    expect(await everything(a)).toEqual(before);
    expect(executed(a)).toEqual(['s1', 's2']);
  });

  it('to a run that was started anew under its id: the new one begins at the beginning', async () => {
    const gates = new Gates();
    const a = await start({ probe: gates });
    const b = await start({ worker: false });
    const { third } = await afterTwo(gates, a);
    // not before the old one has begun
    a.get(WorkflowScheduler).stop();
    const earlier = replies(gates);
    await b.get(WorkflowClient).cancel('r');
    await b.rows(`update workflow_run set is_current = false where run_id = 'r'`);
    await b.get(WorkflowClient).trigger(Row, 'second', { runId: 'r' });
    third.open();
    await until(() => replies(gates) > earlier, 'the reply');
    a.get(WorkflowScheduler).resume();
    expect(await b.get(WorkflowClient).run(Row, 'r').result({ timeout: '15s' })).toEqual(results('second'));
    const journal = await b.get(WorkflowClient).journal('r');
    expect(journal.map(({ key, attempts }) => `${key} ${attempts}`)).toEqual(STEPS.map((key) => `${key} 1`));
    expect(executed(a).toSorted()).toEqual([...STEPS, 's1', 's2', 's3'].toSorted());
  });

  it.each(['released', 'moved to its version anew'] as const)(
    'because it was %s by another process: it is claimed again, and no journaled step is executed again',
    async (how) => {
      const gates = new Gates();
      const a = await start({ probe: gates });
      const b = await start({ worker: false });
      const { third, lease } = await afterTwo(gates, a);
      // not before the third delivery has found out
      a.get(WorkflowScheduler).stop();
      const earlier = replies(gates);
      if (how === 'released') await storeOf(b).release([lease], 0);
      else expect(await storeOf(b).resume(['r'], null)).toHaveLength(1);
      third.open();
      await until(() => replies(gates) > earlier, 'the reply');
      a.get(WorkflowScheduler).resume();
      expect(await b.get(WorkflowClient).run(Row, 'r').result({ timeout: '15s' })).toEqual(results('first'));
      // the third was started under a lease that was gone, and its result refused
      expect(executed(a)).toEqual(['s1', 's2', 's3', 's3', 's4', 's5']);
    },
  );
});

describe('a copy of a delivery that a process has sent to itself', () => {
  const signer = new MessageSigner(createSigningKeys({ signingKey: KEY }));
  async function send(to: Instance, delivery: Delivery): Promise<number> {
    const body = encodeDelivery(delivery);
    const headers = { 'content-type': CONTENT_TYPE, [SIGNATURE_HEADER]: signer.sign('delivery', body) };
    const response = await request(`${await to.url}/workflow/deliver`, { method: 'POST', headers, body });
    await response.body.dump();
    return response.statusCode;
  }

  it('comes late and by another way: it executes nothing, and the run goes on', async () => {
    const gates = new Gates();
    const a = await start({ probe: gates, http: { signingKey: KEY } });
    const { third, lease } = await afterTwo(gates, a);
    const before = await everything(a);
    for (const seq of [0, 1, 3]) {
      const copy = { workflow: 'row', version: null, runId: 'r', ...lease, seq };
      expect(await send(a, copy)).toBe(409);
    }
    expect(await everything(a)).toEqual(before);
    third.open();
    expect(await a.get(WorkflowClient).run(Row, 'r').result({ timeout: '15s' })).toEqual(results('first'));
    expect(executed(a)).toEqual(STEPS);
  });

  it('was brought to another process first, by what stands between: the step is not executed again', async () => {
    const gates = new Gates();
    const b = await start({ worker: false, http: { signingKey: KEY } });
    const proxy = await twice();
    // which answers the ping of the one that boots
    proxy.to = [await b.url];
    const a = await start({ probe: gates, http: { signingKey: KEY, url: proxy.url } });
    proxy.to = [await a.url];
    const { third } = await afterTwo(gates, a);
    proxy.to = [await b.url, await a.url];
    const [before, passed] = [received(gates), proxy.statuses.length];
    // after the answer it claims the run again, and would go on
    open.push(gates.hold('delivery-sent').open);
    third.open();
    await until(() => proxy.statuses.length === passed + 2, 'both answers');
    // the second of the two, at the process that has the run parked with the very count of commits that was delivered
    expect(proxy.statuses.slice(passed)).toEqual([200, 409]);
    expect(received(gates)).toBe(before + 1);
    expect([executed(a), executed(b)]).toEqual([['s1', 's2'], ['s3']]);
  });

  it.each([
    'nobody behind the URL serves it any more',
    'the server has closed, and steps run in-process',
  ] as const)(
    'is brought to its own code in the end (%s): it begins where the others have ended',
    async (why) => {
      const gates = new Gates();
      const b = await start({ worker: false, http: { signingKey: KEY } });
      const proxy = await twice();
      proxy.to = [await b.url];
      const a = await start({ probe: gates, http: { signingKey: KEY, url: proxy.url } });
      let sent = 0;
      const second = gates.hold('delivery-sent', () => ++sent === 2);
      open.push(second.open);
      const run = await a.get(WorkflowClient).trigger(Row, 'first', { runId: 'r' });
      await second.reached;
      expect(executed(b)).toEqual(['s1']);
      // what was known here of the run when it was triggered is old
      if (why.startsWith('nobody')) proxy.to = [];
      else {
        const [task] = await a.rows<{ id: string; fence: number }>('select id, fence from workflow_task');
        const copy = { workflow: 'row', version: null, runId: 'r', taskId: task!.id, fence: task!.fence };
        expect(await a.get(LocalDeliveries).handle({ ...copy, seq: 1 })).toEqual({ next: 'finished' });
      }
      second.open();
      expect(await run.result({ timeout: '15s' })).toEqual(results('first'));
      expect([executed(b), executed(a)]).toEqual([['s1'], ['s2', 's3', 's4', 's5']]);
    },
  );

  /** What stands between: it sends each request to all of `to`, one after the other, and gives the last answer; with none of them it answers 421. */
  async function twice(): Promise<{ url: string; to: string[]; statuses: number[] }> {
    const between = { url: '', to: [] as string[], statuses: [] as number[] };
    const relay = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
      const chunks: Buffer[] = [];
      for await (const chunk of incoming) chunks.push(chunk as Buffer);
      const headers = Object.fromEntries(
        ['content-type', SIGNATURE_HEADER].map((name) => [name, incoming.headers[name] as string]),
      );
      if (between.to.length === 0) {
        const said = { code: 'WF_NOT_SERVED', message: 'not here' };
        outgoing.writeHead(421, { 'workflow-protocol': '1' }).end(JSON.stringify(said));
      }
      for (const [i, to] of between.to.entries()) {
        const body = Buffer.concat(chunks);
        const response = await request(`${to}${incoming.url}`, { method: 'POST', headers, body });
        const text = await response.body.text();
        between.statuses.push(response.statusCode);
        if (i === between.to.length - 1)
          outgoing.writeHead(response.statusCode, { 'workflow-protocol': '1' }).end(text);
      }
    };
    const server: Server = createServer((incoming, outgoing) => void relay(incoming, outgoing));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    open.push(() => server.close());
    between.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return between;
  }
});
