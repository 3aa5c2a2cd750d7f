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

export function printTables(session: Session, summary: ReturnType<typeof summarize>): void {
  const triages = verdicts(session);

  const mails = new Table({
    head: ['verdict', 'mails', 'of these spam*'],
    colAligns: ['left', 'right', 'right'],
  });
  for (const [verdict, group] of groups(triages, (triage) => triage.verdict)) {
    mails.push([verdict, group.length, group.filter(({ mail }) => isSpam(mail)).length]);
  }
  console.log(`${mails.toString()}\n* according to the folder of the corpus\n`);

  const names = new Intl.DisplayNames('en', { type: 'language' });
  const languages = new Table({ head: ['language', 'mails'], colAligns: ['left', 'right'] });
  for (const [code, group] of groups(triages, (triage) => triage.language).slice(0, 6)) {
    languages.push([code === 'und' ? 'too little text' : (names.of(code) ?? code), group.length]);
  }
  console.log(`${languages.toString()}\n`);

  const s = summary;
  const counts = new Table({
    head: ['', '', 'counted from the file that the steps write, and from the ids the driver keeps'],
  });
  counts.push(
    ['runs', s.runs, 'mails that were to be triaged'],
    ['completed', s.completed, 'runs that ended with a verdict'],
    ['steps', s.steps, 'executions of steps that were brought to an end'],
    ['retried', s.retried, 'further attempts after one that failed'],
    ['kills', s.kills, 'workers that were ended by SIGKILL'],
    [
      'interrupted',
      s.interrupted,
      `executions that a kill took away before their result was journaled${s.interruptedMs ? ` (done at most ${s.interruptedMs} ms before it)` : ''}, and that were repeated`,
    ],
    ['re-executed', s.reexecuted, 'executions of steps whose result had been journaled'],
    ['lost', s.lost, 'accepted runs that never reached an end'],
    ['doubled', s.doubled, 'runs with two verdicts, or with another end when it was read again'],
    ['seconds', s.seconds, 'from the first trigger to the last end'],
    ['steps/s', s.stepsPerSecond, `over all that time; ${s.stepsPerSecondBeforeKill} before the kill`],
  );
  console.log(counts.toString());

  const failed = [...session.ended.values()].filter((run) => run.status !== 'completed');
  for (const { runId, status, error } of failed.slice(0, 5))
    console.log(`${runId} ${status}: ${error ?? ''}`);
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
