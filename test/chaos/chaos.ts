import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { AUDIT_TABLES } from './audit.js';
import { startCallServer } from './call-server.js';
import { Console, openChaosDatabase } from './chaos-database.js';
import { collect } from './collect.js';
import { Driver } from './driver.js';
import type { Evidence } from './evidence.js';
import { planFire } from './fire.js';
import { Place } from './fleet.js';
import { makeJob } from './jobs.js';
import { judge, type Problem } from './judge.js';
import type { ChaosOptions } from './options.js';
import { reportOf, type Report } from './report.js';
import { LEASE_TIMEOUT_MS } from './settings.js';
import { Siege } from './siege.js';

const WORKER = fileURLToPath(new URL('worker.js', import.meta.url));
/** After the fire: as long as anything goes on there is time; after so long without they are given up. A stuck run is tried every 30 s. */
const PATIENCE_MS = 60_000;

/** One whole run: database, fleet, fire, peace, judgement. */
export async function chaos(options: ChaosOptions, say: (line: string) => void): Promise<Report> {
  const began = Date.now();
  const folder = mkdtempSync(join(tmpdir(), 'workflow-chaos-'));
  const closing: (() => unknown)[] = [];
  try {
    const database = await openChaosDatabase(options.database);
    closing.push(() => database.dispose());
    const console = new Console(database.url);
    closing.push(() => console.close());
    const server = await startCallServer(options.seed);
    closing.push(() => server.close());
    const places = Array.from({ length: options.workers }, (_, i) => {
      const { url } = database;
      return new Place(WORKER, { url, transport: options.transport, name: `worker-${i}` }, folder);
    });
    // migrates; the workers find the tables
    const driver = await Driver.start(database.url, places);
    closing.push(() => driver.stop());
    for (const statement of AUDIT_TABLES) await console.rows(statement, [], 0);
    closing.push(() => Promise.all(places.map((place) => place.stop())));
    for (const place of places) place.start();
    while (!places.every(({ serves }) => serves)) await pause(50);

    const siege = new Siege(places, database, console, say);
    const { seed, seconds, workers, runs, fire } = options;
    const acts = planFire({ seed, seconds, workers, kinds: fire, leaseTimeoutMs: LEASE_TIMEOUT_MS });
    const besieged = siege.run(acts, seconds);
    for (let n = 0, from = Date.now(); n < runs; n++) {
      await pause(Math.max(0, from + (n * seconds * 1000) / runs - Date.now()));
      driver.submit(makeJob(n, server.url));
      if (n % 200 === 199) say(`${n + 1} runs are triggered`);
    }
    await besieged;
    say('the fire is over');
    await driver.idle();
    await ended(console, say);
    await Promise.all(places.map((place) => place.stop()));
    const evidence = await collect(console, driver, siege.kills);
    const verdict = judge(evidence);
    const crashes = places.flatMap((place) => place.crashes);
    for (const trouble of [...crashes, ...driver.refusals]) say(trouble);
    if (verdict.problems.length + crashes.length > 0) keep(folder, verdict.problems, evidence, say);
    else closing.unshift(() => rmSync(folder, { recursive: true, force: true }));
    const { kills, restarts, cuts, pauses } = siege;
    const deeds = { kills: kills.length, restarts, cuts, pauses, crashes };
    return reportOf(options, evidence.accepted.length, verdict, deeds, Date.now() - began);
  } finally {
    for (const close of closing.reverse()) await close();
  }
}

/** Resolves when no run is active or owes anything any more, or when nothing has been journaled, answered or ended for a while. */
async function ended(console: Console, say: (line: string) => void): Promise<void> {
  let [last, since] = ['', Date.now()];
  for (;;) {
    const [row] = await console.rows<{ active: number; last: string }>(
      `select (select count(*)::int from workflow_run where status = 'active' or unreported or uncascaded) as active,
         (select coalesce(max(id), 0)::text from chaos.history where what <> 'given back') as last`,
    );
    if (row!.active === 0) return;
    if (row!.last !== last) [last, since] = [row!.last, Date.now()];
    if (Date.now() - since > PATIENCE_MS) return say(`${row!.active} runs do not end`);
    await pause(500);
  }
}

/** What one needs to find out why: the logs of the processes lie there already. */
function keep(
  folder: string,
  problems: readonly Problem[],
  evidence: Evidence,
  say: (line: string) => void,
): void {
  const executions = new Set(problems.map(({ execution }) => execution));
  const runs = new Set(problems.map(({ runId }) => runId));
  for (const { runId, execution } of evidence.executions) if (runs.has(runId)) executions.add(execution);
  const of = <T extends { execution: string }>(rows: readonly T[]): T[] =>
    rows.filter(({ execution }) => executions.has(execution));
  const kept = { problems, history: of(evidence.history), steps: of(evidence.steps), kills: evidence.kills };
  writeFileSync(join(folder, 'problems.json'), JSON.stringify(kept, null, 1));
  for (const { kind, runId, what } of problems.slice(0, 20)) say(`${kind}: run ${runId} ${what}`);
  say(`The logs of the processes and all about it: ${folder}`);
}
