import { parseArgs } from 'node:util';
import { FIRE, type FireKind } from './fire.js';

export interface ChaosOptions {
  /** of fire; after that what is left is given time to end */
  readonly seconds: number;
  /** how many runs are triggered in that time, evenly */
  readonly runs: number;
  readonly workers: number;
  readonly seed: number;
  readonly transport: 'http' | 'in-process';
  /** what is done */
  readonly fire: readonly FireKind[];
  readonly json: boolean;
  /** of an empty database; undefined: a cluster of its own, which is restarted too */
  readonly database?: string;
}

export const HELP = `npm run chaos -- [options]

Workers on one PostgreSQL are killed, paused and cut off while they run workflows; then it is judged what became of them.

  --seconds N       how long there is fire (60)
  --runs N          how many runs are triggered in that time (2000)
  --workers N       processes (3)
  --seed N          of what is done to whom, and of the runs (random; it is printed)
  --transport KIND  http or in-process (http)
  --fire KINDS      what is done: kill,cut,restart,pause (all of them), or none
  --database URL    of an empty database; without it a PostgreSQL of its own is started, and restarted under fire
  --json            the last line of stdout is one object, all else goes to stderr
  --help            this text

Exit code 1 when a run was lost, something was doubled, or not all is completed. See docs/chaos.md.`;

function count(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new Error(`--${name} must be a whole number from 1 on, got "${text}"`);
  return value;
}

function fireOf(text: string): FireKind[] {
  if (text === 'none') return [];
  return text.split(',').map((name) => {
    const kind = FIRE.find((known) => known === name);
    if (!kind) throw new Error(`--fire knows ${FIRE.join(', ')} and none, got "${name}"`);
    return kind;
  });
}

/** `help`: only the text is wanted. */
export function readOptions(args: readonly string[]): ChaosOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: 'string', default: '60' },
      runs: { type: 'string', default: '2000' },
      workers: { type: 'string', default: '3' },
      seed: { type: 'string' },
      transport: { type: 'string', default: 'http' },
      fire: { type: 'string', default: FIRE.join(',') },
      database: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  const { transport } = values;
  if (transport !== 'http' && transport !== 'in-process') {
    throw new Error(`--transport must be http or in-process, got "${transport}"`);
  }
  return {
    seconds: count('seconds', values.seconds),
    runs: count('runs', values.runs),
    workers: count('workers', values.workers),
    seed: values.seed === undefined ? 1 + Math.floor(Math.random() * 1e9) : count('seed', values.seed),
    transport,
    fire: fireOf(values.fire),
    json: values.json,
    ...(values.database !== undefined && { database: values.database }),
  };
}
