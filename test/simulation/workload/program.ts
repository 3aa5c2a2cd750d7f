import type { Dice } from '../world/dice.js';

/** What a run does, as data: its payload. Keys are unique within a run; `life` tells its executions apart. */
export interface Program {
  readonly life: string;
  readonly body: readonly Op[];
}

export type Op =
  | {
      readonly do: 'step';
      readonly key: string;
      readonly ms: number;
      readonly fails: number;
      readonly tolerant: boolean;
    }
  | { readonly do: 'all' | 'race'; readonly key: string; readonly branches: readonly (readonly Op[])[] }
  | { readonly do: 'sleep'; readonly key: string; readonly ms: number }
  | { readonly do: 'wait'; readonly key: string; readonly event: string; readonly timeoutMs: number | null }
  | { readonly do: 'notify'; readonly key: string; readonly event: string; readonly keepForMs: number }
  | { readonly do: 'call'; readonly key: string; readonly fails: number }
  | { readonly do: 'invoke'; readonly key: string; readonly child: Program; readonly abandon: boolean }
  | { readonly do: 'poll'; readonly key: string; readonly looks: number }
  | { readonly do: 'draw'; readonly key: string }
  | { readonly do: 'undo'; readonly key: string; readonly ms: number; readonly fails: number }
  | { readonly do: 'throw'; readonly key: string; readonly final: boolean; readonly attempts: number }
  | { readonly do: 'cancel'; readonly key: string }
  | { readonly do: 'continue'; readonly key: string; readonly next: Program };

/** An event that somebody outside has to send, or its run would wait for ever. */
export interface Expected {
  readonly event: string;
  readonly toRun: boolean;
}

const FAILS_FOR_GOOD = 99;

/** Draws programs. `expected` collects what they wait for. */
export class ProgramDice {
  readonly expected: Expected[] = [];
  #count = 0;
  #left: number;
  #ancestors = 0;

  constructor(
    private readonly dice: Dice,
    private readonly run: string,
    size: number,
  ) {
    this.#left = size;
  }

  draw(depth = 0): Program {
    const life = `<${this.run}.${++this.#count}>`;
    const { dice } = this;
    const body = this.#ops(dice.int(1, depth === 0 ? 5 : 3), depth, true);
    if (depth < 2 && dice.happens(0.1))
      body.push({ do: 'continue', key: this.#key('c'), next: this.draw(depth + 1) });
    else if (dice.happens(0.1)) {
      const final = dice.happens(0.5);
      body.push({ do: 'throw', key: this.#key('x'), final, attempts: final ? 1 : dice.int(1, 3) });
    } else if (dice.happens(0.03)) body.push({ do: 'cancel', key: this.#key('q') });
    return { life, body };
  }

  #key(kind: string): string {
    return `${kind}${++this.#count}`;
  }

  #ops(length: number, depth: number, trunk: boolean): Op[] {
    const ops: Op[] = [];
    for (let i = 0; i < length && this.#left > 0; i++) {
      this.#left--;
      ops.push(this.#op(depth, trunk));
    }
    return ops;
  }

  #op(depth: number, trunk: boolean): Op {
    const { dice } = this;
    const draw = dice.int(0, 99);
    if (draw < 34) {
      const fails = dice.happens(0.7) ? 0 : dice.happens(0.15) ? FAILS_FOR_GOOD : dice.int(1, 2);
      const ms = dice.happens(0.2) ? Math.round(dice.between(1, 15_000)) : Math.round(dice.skewed(0, 200));
      return { do: 'step', key: this.#key('s'), ms, fails, tolerant: dice.happens(0.5) };
    }
    if (draw < 46 && depth < 3) return { do: 'all', key: this.#key('a'), branches: this.#branches(depth) };
    if (draw < 54 && depth < 3) {
      const branches = [...this.#branches(depth), [this.#sleep()]];
      return { do: 'race', key: this.#key('r'), branches };
    }
    if (draw < 62) return this.#sleep();
    if (draw < 73) {
      const event = `${this.run}/e${++this.#count}`;
      const timeoutMs = dice.happens(0.5) ? Math.round(dice.skewed(10, 20_000)) : null;
      // a child's run id is nobody's to know
      this.expected.push({ event, toRun: this.#ancestors === 0 && dice.happens(0.6) });
      return { do: 'wait', key: this.#key('w'), event, timeoutMs };
    }
    if (draw < 76)
      return {
        do: 'notify',
        key: this.#key('n'),
        event: `${this.run}/e${dice.int(1, 20)}`,
        keepForMs: 60_000,
      };
    if (draw < 83) return { do: 'call', key: this.#key('k'), fails: dice.happens(0.7) ? 0 : dice.int(1, 2) };
    if (draw < 88 && depth < 2) return this.#invoke(depth);
    if (draw < 91) return { do: 'poll', key: this.#key('p'), looks: dice.int(1, 3) };
    if (draw < 94) return { do: 'draw', key: this.#key('d') };
    if (trunk)
      return {
        do: 'undo',
        key: this.#key('u'),
        ms: Math.round(dice.skewed(0, 500)),
        fails: dice.happens(0.8) ? 0 : 1,
      };
    return this.#sleep();
  }

  #invoke(depth: number): Op {
    this.#ancestors++;
    const child = this.draw(depth + 1);
    this.#ancestors--;
    return { do: 'invoke', key: this.#key('i'), child, abandon: this.dice.happens(0.2) };
  }

  #branches(depth: number): Op[][] {
    return Array.from({ length: this.dice.int(2, 3) }, () =>
      this.#ops(this.dice.int(1, 2), depth + 1, false),
    );
  }

  #sleep(): Op {
    return { do: 'sleep', key: this.#key('z'), ms: Math.round(this.dice.skewed(1, 30_000)) };
  }
}
