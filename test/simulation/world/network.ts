import { DeliveryError, type Delivery, type DeliveryReply, type Signal } from '../../../lib/ports/index.js';
import { WorkflowError } from '../../../lib/errors/index.js';
import { MemoryStoreError } from '../memory/faults.js';
import type { Dice } from './dice.js';
import type { SimulatedProcess } from './process.js';
import type { World } from './world.js';

/** How likely what is, while faults happen. */
export interface Weather {
  /** of one statement */
  readonly refused: number;
  readonly cut: number;
  readonly ghost: number;
  /** the sender dies, or stands still, when the statement has been executed and before it hears of it */
  readonly dies: number;
  readonly stalls: number;
  /** of one delivery */
  readonly lostRequest: number;
  readonly lostReply: number;
  readonly copied: number;
  readonly late: number;
  readonly lostSignal: number;
}

export const CALM: Weather = {
  refused: 0,
  cut: 0,
  ghost: 0,
  dies: 0,
  stalls: 0,
  lostRequest: 0,
  lostReply: 0,
  copied: 0,
  late: 0,
  lostSignal: 0,
};

/** TCP gives a silent peer up after about this. */
const SILENCE_MS = [15_000, 25_000] as const;
const GHOST_MS = 20_000;

/** Everything between processes, and between a process and the database. */
export class Network {
  /** nobody reaches the database before this */
  databaseAwayUntil = 0;

  constructor(
    private readonly world: World,
    private readonly dice: Dice,
  ) {}

  /** One statement: executed once, or not at all although its sender cannot know, or after its sender has given it up. */
  statement<R>(from: SimulatedProcess, name: string, work: () => R): Promise<R> {
    const { time, dice, world } = this;
    const { refused, cut, ghost } = world.weather;
    const away = time.now < this.databaseAwayUntil;
    const draw = dice.fraction();
    const fate =
      away || draw < refused
        ? 'refused'
        : draw < refused + cut
          ? 'cut'
          : draw < refused + cut + ghost
            ? 'ghost'
            : 'ok';
    if (fate !== 'ok') world.fault(`statement ${fate}`);
    return new Promise((resolve, reject) => {
      const answer = (then: () => void): void => void time.after(from, this.#hop(), then);
      const fail = (): void =>
        reject(new MemoryStoreError(`Connection terminated (${name} ${fate})`, 'transient'));
      if (fate === 'refused') return answer(fail);
      if (fate === 'ghost') answer(fail);
      const travel = fate === 'ghost' ? dice.skewed(0, GHOST_MS) : this.#hop();
      time.after(null, travel, () => {
        // of a process that has died meanwhile, what it sent has arrived or not
        if (!from.alive && dice.happens(0.5)) return;
        let result: R;
        try {
          result = world.execute(from, work);
        } catch (error) {
          return answer(() => reject(error as Error));
        }
        this.#strike(from);
        if (fate === 'cut') answer(fail);
        else if (fate === 'ok') answer(() => resolve(result));
      });
    });
  }

  /** The moments that count are those between a statement and what follows from it. */
  #strike(process: SimulatedProcess): void {
    const { dice, world } = this;
    const { dies, stalls } = world.weather;
    if (!process.worker || !process.alive) return;
    const draw = dice.fraction();
    if (draw < dies) world.kill(process, dice.skewed(0, 20_000));
    else if (draw < dies + stalls) world.stall(process, dice);
  }

  /** A request of the step-callback protocol to whoever the load balancer picks. */
  deliver(from: SimulatedProcess, delivery: Delivery): Promise<DeliveryReply> {
    const { time, dice, world } = this;
    const { lostRequest, lostReply, copied, late } = world.weather;
    return new Promise((resolve, reject) => {
      const fails = (fate: DeliveryError['fate'], ms: number): void =>
        void time.after(from, ms, () => reject(new DeliveryError(`simulated: ${fate}`, fate)));
      const target = dice.pick(world.servers);
      if (!target) return fails('not-sent', this.#hop());
      const silent = dice.between(...SILENCE_MS);
      if (dice.happens(copied)) {
        world.fault('delivery copied');
        const other = dice.pick(world.servers)!;
        this.#arrive(
          other,
          delivery,
          dice.skewed(0, GHOST_MS),
          () => undefined,
          () => undefined,
        );
      }
      if (dice.happens(lostRequest)) {
        world.fault('request lost');
        return fails('unknown', silent);
      }
      const isLate = dice.happens(late);
      if (isLate) world.fault('request late');
      const dropsReply = dice.happens(lostReply);
      if (dropsReply) world.fault('reply lost');
      const travel = isLate ? dice.between(100, 12_000) : this.#hop();
      const reply = (given: DeliveryReply): void =>
        dropsReply ? fails('unknown', silent) : void time.after(from, this.#hop(), () => resolve(given));
      this.#arrive(target, delivery, travel, reply, (fate) => fails(fate, this.#hop()));
    });
  }

  #arrive(
    target: SimulatedProcess,
    delivery: Delivery,
    travel: number,
    reply: (given: DeliveryReply) => void,
    fail: (fate: DeliveryError['fate']) => void,
  ): void {
    this.time.after(null, travel, () => {
      if (!target.alive) return fail('not-sent');
      const forget = target.onDeath(() => fail('unknown'));
      this.time.after(target, 0, () => {
        target.deliveries.handle(delivery).then(
          (given) => {
            forget();
            reply(given);
          },
          (error: unknown) => {
            forget();
            if (WorkflowError.is(error, 'WF_STALE_DELIVERY')) return reply({ next: 'stale' });
            const refused =
              WorkflowError.is(error, 'WF_NOT_SERVED') || WorkflowError.is(error, 'WF_SHUTTING_DOWN');
            fail(refused ? 'not-sent' : 'failed');
          },
        );
      });
    });
  }

  signal(from: SimulatedProcess, signals: readonly Signal[]): void {
    for (const to of this.world.processes) {
      if (to === from || !to.alive) continue;
      if (this.dice.happens(this.world.weather.lostSignal)) this.world.fault('signal lost');
      else this.time.after(to, this.#hop(), () => to.hear(signals));
    }
  }

  get time() {
    return this.world.time;
  }

  #hop(): number {
    return this.dice.skewed(0.1, this.dice.happens(0.02) ? 800 : 8);
  }
}
