import { parseArgs } from 'node:util';
import { WORKLOADS, type Overrides } from './workloads/index.js';

export const PEERS = [
  'nestjs-workflow',
  'dbos',
  'openworkflow',
  'restate',
  'pgboss',
  'graphile',
  'rawpg',
] as const;
export type PeerName = (typeof PEERS)[number];

/** What is compared when nothing else is said: each peer in the setting in which it is best. */
const MODES: readonly string[] = [
  'in-process',
  'http',
  'in-process-client',
  'http-client',
  'pglite',
  'default',
  'tuned',
  'queueTuned',
  'named',
  'batched',
];
/** Peers of which only the tuned mode is compared, for their defaults are not made for this. */
export const isByDefault = (peer: string, mode: string): boolean =>
  MODES.includes(mode) && (mode !== 'default' || peer === 'dbos');

export interface BenchOptions {
  readonly peers: readonly PeerName[];
  /** undefined: the ones that `isByDefault` */
  readonly modes?: readonly string[];
  readonly work: readonly string[];
  /** of each workload; undefined: 3, and fewer for some that take minutes */
  readonly runs?: number;
  readonly set: Overrides;
  readonly quick: boolean;
  /** stdout is one JSON object, all else goes to stderr */
  readonly json: boolean;
  /** tables as Markdown, as docs/performance.md has them */
  readonly markdown: boolean;
  readonly out: string;
  /** keeps what `out` has of other peers, modes and workloads */
  readonly add: boolean;
  /** only prints what this file has */
  readonly from?: string;
  /** a page whose figures are replaced */
  readonly into?: string;
  /** how long a quiet machine is waited for, in s */
  readonly patience: number;
}

export const HELP = `npm run bench -- [options]

Measures this project beside other engines on a PostgreSQL of its own, with default durability. See bench/README.md.

  --peers NAMES     ${PEERS.join(',')} (all)
  --modes NAMES     of the peers (the best of each)
  --work NAMES      ${Object.keys(WORKLOADS).join(',')} (all)
  --runs N          of each workload, peer and mode, interleaved (3; those that take minutes: 1)
  --set NAME=N,…    other numbers for a workload, as n=500,cap=60000
  --patience S      how long a quiet machine is waited for before each run (40)
  --out FILE        where the results are written (bench/results/latest.json)
  --add             keep what FILE has of other peers, modes and workloads
  --from FILE       measure nothing, print what FILE has
  --into FILE       replace the figures in this page, as docs/performance.md
  --markdown        print the tables as Markdown
  --json            stdout is one JSON object, all else goes to stderr
  --quick           under 3 minutes, only this project and the floor: counts are asserted, times are only told
  --help            this text

Exit code 1 when a count of --quick is broken, 2 when the options are not understood.`;

function namesOf<T extends string>(name: string, text: string, known: readonly T[]): T[] {
  return text.split(',').map((part) => {
    const found = known.find((one) => one === part);
    if (!found) throw new Error(`--${name} knows ${known.join(', ')}; got "${part}"`);
    return found;
  });
}

function count(name: string, text: string, least: number): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isSafeInteger(value) || value < least)
    throw new Error(`--${name} must be a whole number from ${least} on, got "${text}"`);
  return value;
}

function overridesOf(text: string): Overrides {
  const pairs = text.split(',').map((part) => {
    const [, name, value] = /^([a-zA-Z]+)=(\d+(?:\.\d+)?)$/.exec(part) ?? [];
    if (name === undefined) throw new Error(`--set takes NAME=NUMBER, got "${part}"`);
    return [name, Number(value)] as const;
  });
  return Object.fromEntries(pairs);
}

/** `help`: only the text is wanted. */
export function readOptions(args: readonly string[]): BenchOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      peers: { type: 'string', default: PEERS.join(',') },
      modes: { type: 'string' },
      work: { type: 'string', default: Object.keys(WORKLOADS).join(',') },
      runs: { type: 'string' },
      set: { type: 'string' },
      patience: { type: 'string', default: '40' },
      out: { type: 'string', default: 'bench/results/latest.json' },
      add: { type: 'boolean', default: false },
      from: { type: 'string' },
      into: { type: 'string' },
      markdown: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  if (values.quick && values.from !== undefined) throw new Error('--quick measures, --from does not');
  if (values.json && values.markdown) throw new Error('--json or --markdown, not both');
  return {
    peers: namesOf('peers', values.peers, PEERS),
    ...(values.modes !== undefined && { modes: values.modes.split(',') }),
    work: namesOf('work', values.work, Object.keys(WORKLOADS)),
    ...(values.runs !== undefined && { runs: count('runs', values.runs, 1) }),
    set: values.set === undefined ? {} : overridesOf(values.set),
    quick: values.quick,
    json: values.json,
    markdown: values.markdown,
    out: values.out,
    add: values.add,
    ...(values.from !== undefined && { from: values.from }),
    ...(values.into !== undefined && { into: values.into }),
    patience: count('patience', values.patience, 0),
  };
}
