/** The ways in which callers ask an engine to work, in the process of its client. */
import { setTimeout as pause } from 'node:timers/promises';
import { msSince, now } from './machine.js';
import type { Commands } from './messages.js';
import type { Api, Mode } from './peer.types.js';
import { percentiles } from './statistics.js';

const BULK = 500;
const PATIENCE_MS = 120_000;

type Load = Pick<Commands, 'startMany' | 'oneByOne' | 'closed' | 'offer' | 'signal'>;

export function loadOf(apiOf: () => Api, mode: Mode): Load {
  const times = (n: number, work: () => Promise<void>): Promise<unknown> =>
    Promise.all(Array.from({ length: n }, work));

  return {
    async startMany({ wf, input, n, prefix, conc = 100, rate = 0, budgetMs = PATIENCE_MS }) {
      const api = apiOf();
      const t0 = now();
      let [next, started] = [0, 0];
      if (api.startMany && !rate && mode.bulk) {
        for (; started < n && msSince(t0) < budgetMs; started = Math.min(n, started + BULK)) {
          const ids = Array.from({ length: Math.min(BULK, n - started) }, (_, i) => prefix + (started + i));
          const inputs = ids.map((id) => ({ ...input, id }));
          await api.startMany(wf, inputs, ids);
        }
      } else {
        await times(Math.min(conc, n), async () => {
          while (next < n && msSince(t0) < budgetMs) {
            const i = next++;
            if (rate) await pause(Math.max(0, (i / rate) * 1000 - msSince(t0)));
            await api.start(wf, { ...input, id: prefix + i }, prefix + i);
            started++;
          }
        });
      }
      return { t0, t1: now(), started };
    },

    async oneByOne({ wf, input, n, prefix, budgetMs = PATIENCE_MS }) {
      const api = apiOf();
      const all = [];
      const begun = now();
      for (let i = 0; i < n && msSince(begun) < budgetMs; i++) {
        const id = prefix + i;
        const t0 = now();
        const handle = await api.start(wf, { ...input, id }, id);
        const t1 = now();
        await api.result!(handle, id);
        all.push({ id, t0, t1, t2: now() });
      }
      return all;
    },

    async closed({ wf, input, n, prefix, conc = 100, budgetMs = PATIENCE_MS }) {
      const api = apiOf();
      const t0 = now();
      const waits: number[] = [];
      let next = 0;
      await times(conc, async () => {
        while (next < n && msSince(t0) < budgetMs) {
          const id = prefix + next++;
          const sent = now();
          await api.result!(await api.start(wf, { ...input, id }, id), id);
          waits.push(msSince(sent));
        }
      });
      return { t0, t1: now(), started: waits.length, latency: percentiles(waits) };
    },

    async offer({ wf, input, prefix, rate, seconds }) {
      const api = apiOf();
      const waits = new Float64Array(Math.ceil(rate * seconds) + 1);
      const pending = new Set<Promise<void>>();
      let [offered, accepted, refused] = [0, 0, 0];
      const t0 = now();
      const offerOne = async (id: string, due: number): Promise<void> => {
        try {
          await api.start(wf, { ...input, id }, id);
          waits[accepted++] = msSince(due);
        } catch {
          refused++;
        }
      };
      for (;;) {
        const elapsed = msSince(t0) / 1000;
        const due = Math.min(Math.floor(Math.min(elapsed, seconds) * rate), waits.length);
        while (offered < due) {
          const one = offerOne(prefix + offered, t0 + (offered / rate) * 1e9);
          offered++;
          pending.add(one);
          void one.finally(() => pending.delete(one));
        }
        if (elapsed >= seconds) break;
        await pause(1);
      }
      await Promise.all(pending);
      return { offered, accepted, refused, latency: percentiles(waits.subarray(0, accepted)), t0, t1: now() };
    },

    async signal({ id }) {
      const sentNs = now();
      await apiOf().signal!(id, { sentNs });
      return { sentNs, ackMs: msSince(sentNs) };
    },
  };
}
