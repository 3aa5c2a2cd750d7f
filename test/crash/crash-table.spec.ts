import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProbePoint } from '../../lib/ports/probe.js';
import { bundle, Child } from '../support/child.js';
import { createFolder, createPostgres } from '../support/databases.js';
import type { Execution, Finished, Order, Outcome, Snapshot, Started, Variant } from './protocol.js';

interface Row {
  /** the time at which the point is reached, from 1 */
  readonly nth?: number;
  readonly step?: string;
  readonly variant?: Variant;
  /** over HTTP alone, where more hops lie between; the first time of each point is on both */
  readonly http?: boolean;
  /** also on PGlite, and over which transports. Its processes boot slowly and one after the other, and what differs there is
   * the storage alone: so these are the points around a commit */
  readonly embedded?: readonly Order['transport'][];
}

const HTTP = { http: true } as const;
const BOTH = { embedded: ['in-process', 'http'] } as const;
const EMBEDDED = { embedded: ['in-process'] } as const;

/** Where the process dies. Every hop of a run has to be named; the first row of each is the first time it is reached. */
const TABLE: Record<ProbePoint, readonly Row[]> = {
  triggered: [EMBEDDED],
  claimed: [EMBEDDED, { nth: 3, ...HTTP }],
  woken: [{ variant: 'invokes', ...BOTH }],
  'delivery-sent': [{}, { nth: 3, ...HTTP }],
  'delivery-received': [{}, { step: 'Steps.left', ...HTTP }],
  loaded: [{}, { nth: 3, ...HTTP }],
  'step-executed': [
    BOTH,
    { step: 'Steps.two' },
    // in-process it executes beside another, under the lease of the run
    { step: 'Steps.left', ...BOTH },
    { step: 'Steps.flaky', nth: 2, ...HTTP },
    { step: 'onFailure/Steps.compensate', variant: 'fails' },
    { step: 'alone', nth: 3, variant: 'polls', ...EMBEDDED },
    { step: 'beside', nth: 3, variant: 'polls', ...HTTP },
    { step: 'rollback/two', variant: 'undoes' },
    { step: 'rollback/one', variant: 'undoes', ...BOTH },
    { step: 'onFailure/Steps.compensate', variant: 'undoes', ...HTTP },
  ],
  'flush-sent': [{}, { nth: 3, ...HTTP }, { variant: 'waits', ...HTTP }],
  'flush-durable': [BOTH, { nth: 2 }, { nth: 3 }, { nth: 4, ...HTTP }, { nth: 5 }, { variant: 'waits' }],
  // in-process only what is beside something else than steps is answered
  'answer-sent': [HTTP, { variant: 'polls' }, { step: 'Steps.right', ...HTTP }],
  'answer-durable': [
    { ...HTTP, embedded: ['http'] },
    { variant: 'polls', ...BOTH },
    { step: 'Steps.right', ...HTTP },
    { step: 'beside', nth: 2, variant: 'polls' },
    { step: 'beside', nth: 4, variant: 'polls', ...HTTP },
  ],
  'children-started': [{ variant: 'invokes', ...BOTH }],
  // the first is the one with the parallel pair; then the retry, the sleep and the wait follow
  suspended: [
    {},
    { nth: 2 },
    { nth: 3, ...HTTP },
    { nth: 4, ...HTTP },
    { variant: 'waits', ...BOTH },
    { nth: 2, variant: 'polls', ...BOTH },
  ],
  ended: [EMBEDDED, { variant: 'fails', ...HTTP }, { variant: 'undoes' }, { variant: 'continues', ...BOTH }],
  'reply-sent': [{}, { nth: 3, ...HTTP }],
  'reply-received': [{}, { nth: 3, ...HTTP }],
};

interface NamedRow extends Required<Omit<Row, 'step'>> {
  readonly point: ProbePoint;
  readonly step: string | undefined;
  readonly name: string;
}

const ROWS: readonly NamedRow[] = Object.entries(TABLE).flatMap(([point, rows]) =>
  rows.map(({ nth = 1, step, variant = 'all', http = false, embedded = [] }) => {
    const name = [point, nth > 1 && `#${nth}`, step, variant !== 'all' && `(${variant})`]
      .filter(Boolean)
      .join(' ');
    return { point: point as ProbePoint, nth, step, variant, http, embedded, name };
  }),
);

const OUTCOME: Record<Variant, Omit<Outcome, 'runId'>> = {
  // one, two, left + right, the payment
  all: { result: 12 + 102 + 1000 },
  fails: { failed: 'declined 1114' },
  waits: { result: 1000 },
  invokes: { result: 8 },
  undoes: { failed: 'undone 2' },
  part: { result: 7 },
  continues: { result: 7 },
  polls: { result: 1000 },
};
const MUST_EXECUTE: Record<Variant, readonly string[]> = {
  all: ['Steps.one', 'Steps.two', 'Steps.left', 'Steps.right', 'Steps.flaky', 'Steps.last'],
  fails: [
    'Steps.one',
    'Steps.two',
    'Steps.left',
    'Steps.right',
    'Steps.flaky',
    'Steps.last',
    'onFailure/Steps.compensate',
  ],
  waits: ['Steps.last'],
  invokes: ['Steps.one'],
  undoes: ['Steps.one', 'Steps.two', 'rollback/two', 'rollback/one', 'onFailure/Steps.compensate'],
  part: ['Steps.last'],
  continues: ['Steps.one', 'Steps.last'],
  polls: ['alone', 'beside', 'Steps.left', 'Steps.last'],
};

interface Group {
  readonly database: 'postgres' | 'pglite folder';
  readonly transport: Order['transport'];
}
const GROUPS: readonly Group[] = (['postgres', 'pglite folder'] as const).flatMap((database) =>
  (['in-process', 'http'] as const).map((transport) => ({ database, transport })),
);

/** What became of the rows of a group. */
interface Report {
  readonly deaths: ReadonlyMap<string, { how: number | NodeJS.Signals; pid: number }>;
  /** read by the process that goes on, before it claimed anything. No other one served these runs since their processes died. */
  readonly atKill: Snapshot;
  readonly outcomes: readonly Outcome[];
  readonly after: Snapshot;
  readonly executions: readonly Execution[];
}

let program: Awaited<ReturnType<typeof bundle>>;
beforeAll(async () => {
  program = await bundle('test/crash/children/worker.ts');
});
afterAll(() => program?.remove());

async function crash({ database, transport }: Group, rows: readonly NamedRow[]): Promise<Report> {
  const folder = mkdtempSync(join(tmpdir(), 'workflow-crash-'));
  const file = join(folder, 'executions');
  const db = await (database === 'postgres' ? createPostgres() : createFolder());
  try {
    if (db.folder !== undefined) await (await db.open()).destroy();
    const order = { database: db.options, transport, file };
    const deaths = new Map<string, { how: number | NodeJS.Signals; pid: number }>();
    const die = async ({ name, point, step, nth, variant }: NamedRow): Promise<void> => {
      const child = Child.start(program.file, [
        JSON.stringify({
          ...order,
          serve: [name],
          start: { workflow: name, runId: name, payload: { variant } },
          kill: { runId: name, point, nth, ...(step !== undefined && { step }) },
          // when it is not killed, it ends by itself
          finish: [name],
        } satisfies Order),
      ]);
      deaths.set(name, { how: await child.ended, pid: child.process.pid! });
    };
    const left = [...rows];
    const oneAfterTheOther = async (): Promise<void> => {
      for (let row = left.shift(); row; row = left.shift()) await die(row);
    };
    await Promise.all(Array.from({ length: db.folder === undefined ? 2 : 1 }, () => oneAfterTheOther()));
    const names = rows.map(({ name }) => name);
    const last = Child.start(program.file, [
      JSON.stringify({ ...order, serve: names, finish: names } satisfies Order),
    ]);
    const [started, finished] = await Promise.all([
      last.message<Started>(({ at }) => at === 'started'),
      last.message<Finished>(({ at }) => at === 'finished'),
    ]);
    await last.ended;
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    const executions = lines.map((line) => JSON.parse(line) as Execution);
    return { deaths, atKill: started.before, outcomes: finished.outcomes, after: finished.after, executions };
  } finally {
    rmSync(folder, { recursive: true, force: true });
    await db.dispose();
  }
}

describe.each(GROUPS)('a process that dies, on $database over $transport', (group) => {
  const rows = ROWS.filter(({ http, embedded }) =>
    group.database === 'postgres' ? !http || group.transport === 'http' : embedded.includes(group.transport),
  );
  let report: Report;
  beforeAll(async () => {
    report = await crash(group, rows);
  }, 300_000);

  it.each(rows)('at $name: another one goes on and the run ends right', ({ name, variant }) => {
    const death = report.deaths.get(name)!;
    expect(death.how, 'the process has died there').toBe('SIGKILL');

    const { runId: _, ...outcome } = report.outcomes.find(({ runId }) => runId === name)!;
    expect(outcome).toEqual(OUTCOME[variant]);

    const executions = report.executions.filter(({ runId }) => runId === name);
    const executed = new Set(executions.map(({ step }) => step));
    expect([...executed].toSorted(), 'every step was executed').toEqual(MUST_EXECUTE[variant].toSorted());

    // of one that goes on as new the first execution, whose steps are not the business of the next
    const run = report.atKill.runs.find(({ run_id }) => run_id === name);
    const durable = report.atKill.steps.filter(
      ({ execution, state }) => execution === run!.id && state !== 'pending',
    );
    const again = executions.filter(
      ({ step, pid }) => pid !== death.pid && durable.some(({ key }) => key === step),
    );
    expect(again, 'no step with a durable answer was executed again').toEqual([]);

    const tried = report.atKill.steps.filter(
      ({ execution, state }) => execution === run!.id && state === 'pending',
    );
    const repeated = executions.filter(
      ({ step, pid, attempt }) =>
        pid !== death.pid && tried.some(({ key, attempts }) => key === step && attempt <= attempts),
    );
    expect(repeated, 'nor an attempt, or a look of a poll, that was durable').toEqual([]);
    if (variant === 'polls') {
      const looks = report.after.steps.filter(
        ({ execution, key }) => execution === run!.id && (key === 'alone' || key === 'beside'),
      );
      expect(
        looks.map(({ attempts }) => attempts),
        'each poll is one row',
      ).toEqual([4, 4]);
    }

    const own = report.after.runs.filter(({ run_id }) => run_id === name);
    const status = 'failed' in OUTCOME[variant] ? 'failed' : 'completed';
    expect(
      own.map((one) => one.status),
      'it has ended once',
    ).toEqual(variant === 'continues' ? ['continued', status] : [status]);
    expect(own[0]!.id).toBe(run!.id);
    const left = [...report.after.tasks, ...report.after.messages].filter(({ execution }) =>
      own.some(({ id }) => id === execution),
    );
    expect(left, 'nothing is left of it').toEqual([]);
  });

  it('executes no step more often than there were processes and failures', () => {
    for (const { name } of rows) {
      const counts = new Map<string, number>();
      for (const { runId, step, attempt } of report.executions) {
        if (runId !== name) continue;
        const key = `${step} attempt ${attempt}`;
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
      const most = Math.max(...counts.values());
      expect(most, name).toBeLessThanOrEqual(2);
    }
  });
});

describe('the crash table', () => {
  it('names every probe point', () => {
    const file = fileURLToPath(new URL('../../lib/ports/probe.ts', import.meta.url));
    const union = /type ProbePoint =([^;]*);/.exec(readFileSync(file, 'utf8'))![1]!;
    const points = [...union.matchAll(/'([^']+)'/g)].map((match) => match[1]!);
    expect(points.length).toBeGreaterThan(10);
    expect(Object.keys(TABLE).toSorted()).toEqual(points.toSorted());
  });
});
