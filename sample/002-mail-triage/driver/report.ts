import Table from 'cli-table3';
import { isSpam } from '../corpus.js';
import type { Triage } from '../mail.js';
import { audit } from './audit.js';
import type { Session } from './session.js';

export interface Summary {
  /** mails that were to be triaged */
  runs: number;
  /** runs that ended with a verdict */
  completed: number;
  steps: number;
  retried: number;
  interrupted: number;
  reexecuted: number;
  /** accepted ids that never reached an end */
  lost: number;
  /** runs whose final step was repeated without excuse, or whose end was another one when it was read again */
  doubled: number;
  kills: number;
  /** from the first trigger to the last end, with the kill and the recovery */
  stepsPerSecond: number;
  seconds: number;
  /** while the first worker lived */
  stepsPerSecondBeforeKill: number;
}

export function summarize(
  session: Session,
  runs: number,
  kills: ReadonlyMap<number, number>,
): Summary & { interruptedMs: number } {
  session.evidence.read();
  const { lines } = session.evidence;
  const { doubled, ...counts } = audit(lines, kills);
  const [killedAt = session.endedAt] = kills.values();
  const before = lines.filter(({ outcome, at }) => outcome === 'done' && at <= killedAt).length;
  const seconds = (session.endedAt - session.startedAt) / 1_000;
  return {
    runs,
    completed: verdicts(session).length,
    ...counts,
    lost: [...session.accepted].filter((run) => !session.ended.has(run)).length,
    doubled: new Set([...doubled, ...session.changed]).size,
    kills: kills.size,
    stepsPerSecond: Math.round(counts.steps / seconds),
    seconds: Math.round(seconds * 10) / 10,
    stepsPerSecondBeforeKill: Math.round((before * 1_000) / (killedAt - session.startedAt)),
  };
}

export function succeeded({ runs, completed, kills, reexecuted, lost, doubled }: Summary): boolean {
  return completed === runs && kills >= 1 && reexecuted === 0 && lost === 0 && doubled === 0;
}

export function printTables(session: Session, s: ReturnType<typeof summarize>): void {
  const triages = verdicts(session);

  const mails = table(['verdict', 'mails', 'in the spam folders of the corpus']);
  for (const [verdict, group] of groups(triages, (triage) => triage.verdict)) {
    mails.push([verdict, group.length, group.filter(({ mail }) => isSpam(mail)).length]);
  }
  console.log(mails.toString());

  const names = new Intl.DisplayNames('en', { type: 'language' });
  const languages = table(['language', 'mails']);
  for (const [code, group] of groups(triages, (triage) => triage.language).slice(0, 6)) {
    languages.push([code === 'und' ? 'too little text' : (names.of(code) ?? code), group.length]);
  }
  console.log(languages.toString());

  const early = s.interruptedMs ? `, done up to ${s.interruptedMs} ms before it` : '';
  const counts = table(['counted', '', 'from what the steps write to a file, and the ids the driver keeps']);
  counts.push(
    ['runs', s.runs, 'mails to triage'],
    ['completed', s.completed, 'runs that ended with a verdict'],
    ['steps', s.steps, 'step executions that were brought to an end'],
    ['retried', s.retried, 'further attempts after a failed one'],
    ['kills', s.kills, 'workers ended by SIGKILL, with runs in flight'],
    [
      'interrupted',
      s.interrupted,
      `executions lost to the kill before they were journaled${early}: repeated`,
    ],
    ['re-executed', s.reexecuted, 'executions of a step whose result was journaled already'],
    ['lost', s.lost, 'accepted runs that never reached an end'],
    ['doubled', s.doubled, 'runs with two verdicts, or another end when read again'],
    ['seconds', s.seconds, 'from the first trigger to the last end'],
    ['steps/s', s.stepsPerSecond, `over all that time; ${s.stepsPerSecondBeforeKill} before the kill`],
  );
  console.log(counts.toString());

  const failed = [...session.ended.values()].filter((run) => run.status !== 'completed');
  for (const { runId, status, error } of failed.slice(0, 5))
    console.log(`${runId} ${status}: ${error ?? ''}`);
}

function table(head: string[]): Table.Table {
  // no lines between the rows
  const chars = { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' };
  return new Table({ head, chars, colAligns: ['left', 'right', 'left'], style: { head: [], border: [] } });
}

function verdicts(session: Session): Triage[] {
  return [...session.ended.values()].flatMap(({ result }) => result ?? []);
}

/** The items by what `by` says of them, largest group first. */
function groups<T>(items: T[], by: (item: T) => string): [string, T[]][] {
  const found = new Map<string, T[]>();
  for (const item of items) found.set(by(item), [...(found.get(by(item)) ?? []), item]);
  return [...found].toSorted(([, a], [, b]) => b.length - a.length);
}
