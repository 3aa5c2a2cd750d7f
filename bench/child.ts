/** One process of a run: the worker of a peer, its client, or both. Its only argument is a `ChildSpec`. */
import { pathToFileURL } from 'node:url';
import { loadOf } from './load.js';
import { now } from './machine.js';
import type { ChildSpec, Commands, Told } from './messages.js';
import type { Api, Peer, Report } from './peer.types.js';

const spec = JSON.parse(process.argv[2]!) as ChildSpec;
const tell = (message: Told): void => void process.send!(message);
const textOf = (error: unknown): string => String((error as Error)?.stack ?? error);

// ---- what the bodies of workflows say ----
let [done, waiting, isCounted] = [0, 0, false];
/** No timer while nothing happens: it would be a part of what an idle process uses. */
function count(): void {
  if (isCounted) return;
  isCounted = true;
  setTimeout(() => {
    isCounted = false;
    tell({ type: 'count', done, waiting });
  }, 10).unref();
}
let kept = { done: false, steps: false };
let doneAt: Record<string, number> = {};
let stepAt: number[] = [];
let late: number[] = [];
const executed = new Map<string, number>();

const report: Report = {
  url: spec.url,
  mode: spec.mode,
  index: spec.index,
  now,
  done(id) {
    done++;
    count();
    if (kept.done) doneAt[id] = now();
  },
  waiting() {
    waiting++;
    count();
  },
  resumed: (id) => tell({ type: 'resumed', id, ns: now() }),
  late: (ms) => void late.push(ms),
  step(i) {
    if (kept.steps) stepAt[i] = now();
  },
  // absent otherwise: a step would make its key for nothing
  ...(spec.mode.audit && {
    executed: (key: string) => void executed.set(key, (executed.get(key) ?? 0) + 1),
  }),
};

let api: Api | undefined;
let stop: (() => Promise<unknown>) | undefined;
const apiOf = (): Api => {
  if (!api) throw new Error('This process has no client');
  return api;
};

const commands: Commands = {
  ...loadOf(apiOf, spec.mode),
  keep(given) {
    kept = { done: !!given.done, steps: !!given.steps };
    [doneAt, stepAt, late] = [{}, [], []];
    return true;
  },
  marks() {
    const times = [...executed.values()];
    const calls = times.reduce((sum, n) => sum + n, 0);
    return {
      done,
      doneAt,
      stepAt,
      late,
      executed: { calls, steps: times.length, most: times.reduce((a, b) => Math.max(a, b), 0) },
    };
  },
  completed: async () => (await api?.completed?.()) ?? NaN,
  async stop() {
    await stop?.();
    return true;
  },
};

try {
  const peer = ((await import(pathToFileURL(spec.peer).href)) as { default: Peer }).default;
  if (spec.role === 'client') {
    api = await peer.client!(report);
    stop = async () => api?.stop?.();
  } else {
    const worker = await peer.worker(report);
    if (spec.role === 'both') ({ api } = worker);
    stop = async () => worker.stop?.();
  }
} catch (error) {
  console.error(error);
  tell({ type: 'fatal', error: textOf(error) });
  process.exit(1);
}

process.on('message', (message: { seq: number; command: keyof Commands; given: never }) => {
  const { seq, command, given } = message;
  void (async () => {
    try {
      const value: unknown = await commands[command](given);
      tell({ type: 'reply', seq, value });
    } catch (error) {
      tell({ type: 'reply', seq, error: textOf(error) });
    }
    if (command === 'stop') setTimeout(() => process.exit(0), 20);
  })();
});
process.on('disconnect', () => process.exit(0));
tell({ type: 'ready' });
