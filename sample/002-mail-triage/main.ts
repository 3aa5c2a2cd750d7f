/**
 * Hundreds of real e-mails go through a durable workflow, and half-way its worker is killed.
 *
 *   npm start                                    300 mails, each step in an HTTP call of its own, embedded PGlite
 *   npm start -- --mails 1000 --transport in-process
 *   DATABASE_URL=postgres://… npm start -- --json
 *
 * This process is the driver. It does no work itself: it starts the worker (worker.ts), hands it mails over HTTP, plays the
 * moderator, kills the worker, starts another, and counts: see driver/audit.ts for how, and driver/report.ts for what.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pickMails } from './corpus.js';
import { HELP, readOptions, type Options } from './driver/options.js';
import { Progress } from './driver/progress.js';
import { printTables, succeeded, summarize } from './driver/report.js';
import { Session } from './driver/session.js';
import { WorkerProcess } from './driver/worker-process.js';

async function triage(options: Options): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), 'mail-triage-'));
  const worker = new WorkerProcess({ TRIAGE_FOLDER: folder, TRIAGE_TRANSPORT: options.transport });
  const files = { evidence: join(folder, 'evidence.log'), quarantine: join(folder, 'quarantine') };
  const progress = new Progress(options.mails, options.json);
  const session = new Session(pickMails(options.mails), worker, files, progress);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      void worker.stop('SIGKILL').finally(() => {
        rmSync(folder, { recursive: true, force: true });
        process.exit(1);
      });
    });
  }
  try {
    await worker.start();
    await session.run();
    await worker.stop();
    progress.stop();

    const { interruptedMs, ...summary } = summarize(session, options.mails, worker.kills);
    if (options.json) console.log(JSON.stringify(summary));
    else printTables(session, { ...summary, interruptedMs });
    return succeeded(summary);
  } finally {
    progress.stop();
    await worker.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

try {
  const options = readOptions(process.argv.slice(2));
  if (options.help) console.log(HELP);
  else process.exitCode = (await triage(options)) ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
