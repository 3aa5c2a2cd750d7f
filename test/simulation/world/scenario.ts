import { ProgramDice } from '../workload/program.js';
import type { Dice } from './dice.js';
import { CALM } from './network.js';
import type { SimulatedProcess } from './process.js';
import type { World } from './world.js';

/** How long things go wrong, and for how long it is calm afterwards at most: a run that has not ended by then is lost. */
const STORM_MS = 45_000;
export const CALM_MS = 600_000;
/** A caller that has heard nothing for so long asks again. */
const PATIENCE_MS = 15_000;

/** What people and fate do to a world, all of it drawn before anything happens. */
export class Scenario {
  /** top-level runs, and those that somebody was told of */
  readonly runs: string[] = [];
  #open = 0;

  constructor(
    private readonly world: World,
    private readonly dice: Dice,
  ) {}

  begin(): void {
    const { world, dice } = this;
    for (let i = dice.int(1, 3); i > 0; i--) world.boot();
    world.boot(false);
    for (let i = dice.int(4, 14); i > 0; i--) this.#run();
    const quiet = dice.happens(0.1);
    if (!quiet) {
      this.#weather();
      this.#fate();
    }
    world.time.after(null, STORM_MS, () => this.#calm());
  }

  /** Everything that was asked for has been answered. */
  get settled(): boolean {
    return this.#open === 0;
  }

  #calm(): void {
    const { world } = this;
    world.weather = CALM;
    world.network.databaseAwayUntil = 0;
    world.history.add('world', { is: 'calm' });
    if (!world.processes.some(({ worker }) => worker)) world.boot();
    if (!world.processes.some(({ worker }) => !worker)) world.boot(false);
  }

  #run(): void {
    const { dice } = this;
    const runId = `r${this.runs.length + 1}`;
    this.runs.push(runId);
    const size = dice.happens(0.1) ? 40 : 12;
    const drawn = new ProgramDice(dice, runId, size);
    const program = drawn.draw();
    const at = dice.skewed(0, STORM_MS / 2);
    this.#insist(
      at,
      ({ client }) => client.trigger('program', program as never, { runId } as never),
      () => this.world.history.add('outside', { is: 'accepted', runId }),
    );
    let sent = 0;
    for (const { event, toRun } of drawn.expected) {
      const id = `event-${runId}-${String(++sent).padStart(3, '0')}`;
      const options = toRun ? { runId } : { keepFor: '1h' as const };
      this.#insist(at + dice.skewed(0, STORM_MS), ({ commands }) =>
        commands.send(event, `data of ${event}`, options, id),
      );
    }
    if (dice.happens(0.12)) {
      this.#insist(
        at + dice.skewed(0, STORM_MS),
        ({ client }) => client.cancel(runId),
        ({ cancelled }) =>
          this.world.history.add('outside', { is: 'cancel', runId, done: cancelled.length > 0 }),
      );
    }
    if (dice.happens(0.5)) this.#await(runId, at + dice.skewed(0, STORM_MS));
  }

  #await(runId: string, at: number): void {
    const tell = (how: 'completed' | 'failed' | 'cancelled', value: string): void =>
      this.world.history.add('outside', { is: 'told', runId, how, value });
    this.#insist(
      at,
      async ({ client }) => {
        try {
          return ['completed', String(await client.run('program', runId).result({ timeout: '5s' }))] as const;
        } catch (error) {
          if ((error as Error).name === 'RunFailedError') return ['failed', ''] as const;
          if ((error as Error).name === 'RunCancelledError') return ['cancelled', ''] as const;
          throw error;
        }
      },
      ([how, value]) => tell(how, value),
    );
  }

  /** Somebody outside wants this, and asks one process after the other until one says that it is done. */
  #insist<T>(
    at: number,
    ask: (process: SimulatedProcess) => Promise<T>,
    done: (answer: T) => void = () => {},
  ): void {
    const { world, dice } = this;
    let over = false;
    this.#open++;
    const attempt = (): void => {
      if (over) return;
      const ready = world.processes.filter(({ alive, leaving, ready: up }) => alive && up && !leaving);
      world.time.after(null, PATIENCE_MS, attempt);
      if (ready.length === 0) return;
      const process = dice.pick(ready);
      const asking = async (): Promise<void> => {
        const answer = await ask(process);
        if (over) return;
        over = true;
        this.#open--;
        done(answer);
      };
      // refused, or the run is not there yet: asked again
      world.time.after(process, 0, () => void asking().catch(() => undefined));
    };
    world.time.after(null, at, attempt);
  }

  #weather(): void {
    const { world, dice } = this;
    const often = (most: number): number => (dice.happens(0.5) ? 0 : dice.skewed(0, most));
    world.weather = {
      refused: often(0.2),
      cut: often(0.2),
      ghost: often(0.1),
      dies: often(0.02),
      stalls: often(0.06),
      lostRequest: often(0.15),
      lostReply: often(0.15),
      copied: often(0.3),
      late: often(0.2),
      lostSignal: often(1),
    };
  }

  #fate(): void {
    for (let i = this.dice.int(0, 12); i > 0; i--) {
      this.world.time.after(null, this.dice.between(0, STORM_MS), () => this.#strike());
    }
  }

  #strike(): void {
    const { world, dice } = this;
    const process = dice.pick(world.processes);
    const draw = dice.int(0, 9);
    if (!process) return void world.boot();
    if (draw < 4) {
      world.kill(process, dice.skewed(0, 20_000));
    } else if (draw < 7) {
      world.stall(process, dice);
    } else if (draw < 8) {
      const ms = dice.skewed(500, 25_000);
      world.fault('database away');
      world.note(`the database is away for ${Math.round(ms)} ms`);
      world.network.databaseAwayUntil = world.time.now + ms;
    } else if (draw < 9) {
      world.fault('deploy');
      world.note(`${process.name} leaves`);
      world.time.after(process, 0, () => {
        void process.leave().finally(() => world.crash(process, 'has left'));
      });
      world.time.after(null, dice.skewed(0, 3000), () => world.boot(process.worker));
    } else {
      world.fault('one more process');
      world.boot();
    }
  }
}
