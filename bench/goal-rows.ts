/** Whether the goals were reached: by their own numbers, and by the same as ratios to peers in the same results. Never one for the other. */
import { GOALS, type Goal, type Measured, type Reference } from './goals.js';
import { rowsOf, type RunRecord } from './records.js';
import { shown } from './shown.js';
import { ratio } from './statistics.js';

const OURS = 'nestjs-workflow';

export const GOALS_HEAD = [
  '',
  'measured',
  'goal',
  'reached',
  'beside, where it was set',
  'goal as a ratio',
  'measured',
  'reached',
] as const;
export const GOALS_ABOUT =
  'Left: the number itself, on this machine at this hour. Right: the same goal as a ratio to a peer (so many times better than it), from what that peer did on the machine on which the goal was set, and the ratio to the same peer in these results; empty where it was not measured.';

type Cells = [string, string, string, string];
type ValueOf = (measured: Measured) => number | undefined;
const BLANK: Cells = ['', '', '', ''];

/** Rows of the goals of which both sides were measured; one more for each further peer that a goal is compared with. */
export function goalRowsOf(records: readonly RunRecord[]): string[][] {
  const valueOf: ValueOf = ({ peer = OURS, mode, work, path }) =>
    rowsOf(records, work)
      .find((row) => row.peer === peer && row.mode === mode)
      ?.value(path);
  return GOALS.flatMap((goal) => {
    const own = ownCells(goal, valueOf);
    const [first = BLANK, ...more] = ratioCells(goal, valueOf);
    return own ? [[...own, ...first], ...more.map((cells) => [...BLANK, ...cells])] : [];
  });
}

/** What, measured, goal, whether it was reached. */
function ownCells({ what, of, is, than }: Goal, valueOf: ValueOf): Cells | undefined {
  const value = valueOf(of);
  const other = typeof than === 'number' ? 1 : valueOf(than.of);
  if (value === undefined || other === undefined) return undefined;
  const bound = typeof than === 'number' ? than : than.times * other;
  const isReached = is === 'at least' ? value >= bound : value <= bound;
  return [what, shown(value), `${is === 'at least' ? '≥' : '≤'} ${shown(bound)}`, isReached ? 'yes' : 'no'];
}

/** Peer, goal, measured, whether it was reached: for each peer that the goal is compared with. */
function ratioCells({ of, is, than, beside }: Goal, valueOf: ValueOf): Cells[] {
  const better = is === 'at least' ? 'higher' : 'lower';
  const cells = (name: string, wanted: number | undefined, theirs: number | undefined): Cells => {
    const times = ratio(valueOf(of), theirs, better);
    const reached = times === undefined || wanted === undefined ? '' : times >= wanted ? 'yes' : 'no';
    return [name, `≥ ${shown(wanted)} ×`, times === undefined ? '' : `${shown(times)} ×`, reached];
  };
  // it was set as a ratio
  if (typeof than !== 'number')
    return than.of.peer === undefined
      ? []
      : [cells(`${than.of.peer} ${than.of.mode}`, than.times, valueOf(than.of))];
  return beside.map(({ peer, mode, there }: Reference) =>
    cells(
      `${peer} ${mode}: ${shown(there)}`,
      ratio(than, there, better),
      valueOf({ peer, mode, work: of.work, path: of.path }),
    ),
  );
}
