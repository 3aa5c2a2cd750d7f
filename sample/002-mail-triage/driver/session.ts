import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { NotifyResult } from 'nestjs-workflow';
import { isSpam } from '../corpus.js';
import { writeEvidence, type EvidenceLine } from '../evidence.js';
import type { Mail } from '../mail.js';
import type { RunReport } from '../mails.controller.js';
import { percentOf } from '../steps/reputation.js';
import { FINAL_STEP } from '../triage.workflow.js';
import { EvidenceReader } from './evidence-reader.js';
import type { Progress } from './progress.js';
import type { WorkerProcess } from './worker-process.js';

const TICK_MS = 25;
const BATCH = 25;
/** how many ids one request asks about */
const CHUNK = 200;
/** runs that fail never conclude: now and then all that are open are asked about */
const ASK_ALL_MS = 2_000;
/** after so long without any news the open runs are lost */
const PATIENCE_MS = 30_000;

/** One batch of mails from the first trigger to the last result, with a kill half-way. Keeps books of its own. */
export class Session {
  /** ids whose trigger was accepted */
  readonly accepted = new Set<string>();
  /** how each run ended, as seen for the first time */
  readonly ended = new Map<string, RunReport>();
  /** ids that had another end, or none, when they were looked at again */
  readonly changed = new Set<string>();
  readonly evidence: EvidenceReader;
  startedAt = 0;
  endedAt = 0;

  private readonly id = randomBytes(4).toString('hex');
  private readonly started = new Set<string>();
  private readonly concluded = new Set<string>();
  private steps = 0;
  private triggered = false;
  private killing: Promise<void> | undefined;
  private over = false;

  constructor(
    private readonly mails: readonly Mail[],
    private readonly worker: WorkerProcess,
    private readonly files: { evidence: string; quarantine: string },
    private readonly progress: Progress,
  ) {
    this.evidence = new EvidenceReader(files.evidence);
  }

  async run(): Promise<void> {
    this.startedAt = Date.now();
    try {
      await Promise.all([this.trigger(), this.moderate(), this.watch()]);
    } finally {
      this.over = true;
    }
    await this.lookAgain();
  }

  /** A third of the mails is on its way at a time, so that half-way some are done, some in flight and some to come. */
  private async trigger(): Promise<void> {
    const most = Math.ceil(this.mails.length / 3);
    for (let next = 0; next < this.mails.length && !this.over;) {
      const room = Math.min(BATCH, most - (this.accepted.size - this.ended.size));
      if (room <= 0) {
        await delay(TICK_MS);
        continue;
      }
      const mails = this.mails.slice(next, next + room);
      const reply = this.worker.call<string[]>('/mails', { session: this.id, mails });
      // with a trigger on its way: nobody knows whether it was carried out, and it is sent again
      this.killHalfWay();
      for (const runId of await reply) this.accepted.add(runId);
      next += mails.length;
    }
    this.triggered = true;
  }

  /** Reads what lies in quarantine and decides about two thirds of it; the others wait in vain. */
  private async moderate(): Promise<void> {
    const read = new Set<string>();
    while (!this.over) {
      await delay(TICK_MS);
      const runs = existsSync(this.files.quarantine) ? readdirSync(this.files.quarantine) : [];
      const fresh = runs.filter((run) => !read.has(run));
      await Promise.all(
        fresh.map(async (run) => {
          read.add(run);
          const mail = run.slice(this.id.length + 1);
          if (percentOf(mail) % 3 === 0) return;
          const { woken } = await this.worker.call<NotifyResult>(`/mails/${run}/moderation`, {
            release: !isSpam(mail),
          });
          if (woken.includes(run)) this.see(run, 'moderator');
        }),
      );
    }
  }

  private async watch(): Promise<void> {
    let news = Date.now();
    let askedAll = Date.now();
    while (!this.over) {
      await delay(TICK_MS);
      const lines = this.evidence.read();
      lines.forEach((line) => this.count(line));

      const all = Date.now() - askedAll > ASK_ALL_MS;
      if (all) askedAll = Date.now();
      const open = [...(all ? this.accepted : this.concluded)].filter((run) => !this.ended.has(run));
      const ends = (await this.report(open)).filter(({ status }) => ENDS.includes(status));
      for (const end of ends) {
        this.ended.set(end.runId, end);
        if (end.status === 'completed') this.see(end.runId, 'result');
      }

      await this.killing;
      if (this.triggered) this.killHalfWay();
      this.progress.update(this.ended.size, this.steps);
      if (lines.length || ends.length) news = Date.now();
      this.over =
        (this.triggered && this.ended.size === this.accepted.size) || Date.now() - news > PATIENCE_MS;
    }
    this.endedAt = Date.now();
  }

  private killHalfWay(): void {
    const inFlight = this.started.size - this.concluded.size;
    if (this.killing || inFlight === 0 || this.ended.size < Math.floor(this.mails.length / 2)) return;
    this.killing = this.kill();
    // reported by whoever awaits it
    this.killing.catch(() => {});
  }

  private async kill(): Promise<void> {
    // what was sent just now arrives; whether its reply comes back is left to chance
    await delay(3);
    this.progress.note('worker killed');
    const at = Date.now();
    await this.worker.replace();
    this.progress.note(`worker killed; another took over ${Date.now() - at} ms later`);
  }

  private async lookAgain(): Promise<void> {
    for (const again of await this.report([...this.ended.keys()])) {
      if (JSON.stringify(again) !== JSON.stringify(this.ended.get(again.runId)))
        this.changed.add(again.runId);
    }
  }

  private async report(runIds: string[]): Promise<RunReport[]> {
    const reports: RunReport[] = [];
    for (let from = 0; from < runIds.length; from += CHUNK) {
      const chunk = runIds.slice(from, from + CHUNK);
      reports.push(...(await this.worker.call<RunReport[]>('/mails/report', { runIds: chunk })));
    }
    return reports;
  }

  private see(run: string, step: string): void {
    writeEvidence(this.files.evidence, { run, step, attempt: 1, outcome: 'seen' });
  }

  private count({ run, step, outcome }: EvidenceLine): void {
    this.started.add(run);
    if (outcome === 'done') this.steps++;
    if (outcome === 'done' && step === FINAL_STEP) this.concluded.add(run);
  }
}

const ENDS = ['completed', 'failed', 'cancelled'];
