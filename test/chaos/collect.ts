import type { Console } from './chaos-database.js';
import type { Driver } from './driver.js';
import type { AcceptedRun, Evidence, ExecutionRow, HistoryRow, Kill, StepExecution } from './evidence.js';
import { expectedOf, type Job } from './jobs.js';

/** At a time; the client has five connections. */
const READERS = 5;

const ms = (column: string): string => `(extract(epoch from ${column}) * 1000)::float8`;

/** Reads all that the judge has to know. */
export async function collect(console: Console, driver: Driver, kills: readonly Kill[]): Promise<Evidence> {
  return {
    accepted: await readAll(driver),
    steps: await console.rows<StepExecution>(
      `select execution::text, key, attempt, pid, ${ms('started_at')} as "startedAt" from chaos.execution order by started_at`,
    ),
    kills,
    ...(await readTables(console)),
  };
}

/** What the triggers saw, and what is left in the tables of the library. */
export async function readTables(
  console: Pick<Console, 'rows'>,
): Promise<Pick<Evidence, 'executions' | 'history' | 'left'>> {
  return {
    executions: await console.rows<ExecutionRow>(
      `select id::text as execution, run_id as "runId", status from workflow_run order by id`,
    ),
    history: await console.rows<HistoryRow>(
      `select ${ms('at')} as at, what, execution::text, key, detail from chaos.history order by id`,
    ),
    left: await console.rows<{ execution: string; what: string }>(
      `select r.id::text as execution, x.what from workflow_run r
       join (select execution, 'task' as what from workflow_task union all select execution, 'message' from workflow_message) x
         on x.execution = r.id
       where r.status <> 'active'`,
    ),
  };
}

async function readAll(driver: Driver): Promise<AcceptedRun[]> {
  const accepted: AcceptedRun[] = [];
  const left = [...driver.accepted];
  const reader = async (): Promise<void> => {
    for (let next = left.pop(); next; next = left.pop()) accepted.push(await read(driver, ...next));
  };
  await Promise.all(Array.from({ length: READERS }, reader));
  return accepted;
}

async function read(driver: Driver, runId: string, { n, kind }: Job): Promise<AcceptedRun> {
  const run = await driver.read(runId).catch(() => undefined);
  const found = run && {
    status: run.status,
    ...(run.status === 'completed' && { result: run.result }),
    ...(run.status === 'failed' && { message: run.error.message }),
  };
  return { runId, kind, expected: expectedOf({ n, kind }), found };
}
