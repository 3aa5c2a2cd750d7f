import { setTimeout as pause } from 'node:timers/promises';
import type { ChaosDatabase, Console } from './chaos-database.js';
import type { Kill } from './evidence.js';
import type { Act } from './fire.js';
import type { Place } from './fleet.js';
import { APPLICATION } from './settings.js';

/** Puts a plan of fire into effect, and keeps what was really done. */
export class Siege {
  readonly kills: Kill[] = [];
  restarts = 0;
  cuts = 0;
  pauses = 0;
  readonly #over = new AbortController();
  readonly #underWay: Promise<void>[] = [];
  #away = false;

  constructor(
    private readonly places: readonly Place[],
    private readonly database: ChaosDatabase,
    private readonly console: Console,
    private readonly say: (line: string) => void,
  ) {}

  /** Resolves when the last act has begun and `seconds` are over; then all that was stopped goes on. */
  async run(acts: readonly Act[], seconds: number): Promise<void> {
    const began = Date.now();
    const until = (at: number): Promise<unknown> => pause(Math.max(0, began + at - Date.now()));
    for (const act of acts) {
      await until(act.at);
      this.#underWay.push(this.#do(act));
    }
    await until(seconds * 1000);
    this.#over.abort();
    await Promise.all(this.#underWay);
    for (const place of this.places) place.start();
  }

  async #do(act: Act): Promise<void> {
    switch (act.kind) {
      case 'kill':
        return this.#kill(act.worker, act.awayMs);
      case 'cut':
        return this.#cut(act.chance);
      case 'restart':
        return this.#restart(act.mode, act.awayMs);
      case 'pause': {
        const place = this.places[act.worker]!;
        if (!place.alive) return;
        this.say(`process ${place.pid} is paused for ${act.forMs} ms`);
        if (await place.pauseFor(act.forMs, this.#over.signal)) this.pauses++;
      }
    }
  }

  async #kill(worker: number, awayMs: number): Promise<void> {
    const place = this.places[worker]!;
    const { pid } = place;
    if (!(await place.kill())) return;
    const at = Date.now();
    // what it held is there until the others miss its heartbeat
    const held = await this.console.rows<{ execution: string }>(
      `select distinct k.execution::text from workflow_task k join workflow_worker w on w.id = k.lease_owner where w.pid = $1`,
      [pid],
    );
    this.say(`process ${pid} is killed, it held ${held.length} runs`);
    this.kills.push({ at, held: held.map(({ execution }) => execution) });
    await pause(awayMs);
    place.start();
  }

  async #cut(chance: number): Promise<void> {
    const cut = await this.console.attempt(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name like '${APPLICATION}:%' and random() < $1`,
      [chance],
    );
    if (cut > 0) this.say(`${cut} connections are cut`);
    this.cuts += cut;
  }

  async #restart(mode: 'fast' | 'immediate', awayMs: number): Promise<void> {
    if (this.#away || !this.database.stop || !this.database.start) return;
    this.#away = true;
    this.say(`PostgreSQL is stopped (${mode}) for ${awayMs} ms`);
    await this.database.stop(mode);
    await pause(awayMs);
    await this.database.start();
    this.restarts++;
    this.#away = false;
  }
}
