/** Tables for people: one a workload, with how many times better this project is than each peer. */
import Table from 'cli-table3';
import type { Machine } from './machine.js';
import type { PostgresAbout } from './cluster.js';
import { DERIVED_HEAD, derivedRowsOf } from './derived.js';
import { GOALS_ABOUT, GOALS_HEAD, goalRowsOf } from './goal-rows.js';
import { rowsOf, type Row, type RunRecord } from './records.js';
import { shown } from './shown.js';
import { ratio } from './statistics.js';
import { WORKLOADS, type Column } from './workloads/index.js';

export const OURS = 'nestjs-workflow';

/** What is written as JSON. */
export interface Results {
  readonly at: string;
  readonly machine: Machine;
  readonly postgres: PostgresAbout;
  readonly skipped: readonly string[];
  readonly records: readonly RunRecord[];
}

export interface WorkTable {
  readonly work: string;
  readonly title: string;
  readonly about: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export function tablesOf(records: readonly RunRecord[]): WorkTable[] {
  return Object.entries(WORKLOADS).flatMap(([work, { title, about, columns }]) => {
    const rows = rowsOf(records, work);
    if (rows.length === 0) return [];
    const main = columns.find(({ better }) => better)!;
    const ours = rows.filter(({ peer }) => peer === OURS);
    // our modes beside each other say nothing by a ratio; peers are compared with each of them
    const ratios = rows.some(({ peer }) => peer !== OURS) ? ours : [];
    const head = [
      'peer',
      'mode',
      ...columns.map(({ label }) => label),
      ...ratios.map(({ mode }) => `${mode} is`),
      'runs',
    ];
    return [
      {
        work,
        title,
        about,
        head,
        rows: rows.map((row) => [
          row.peer,
          row.mode,
          ...columns.map(({ path }) => shown(row.value(path))),
          ...ratios.map((our) => (row.peer === OURS ? '' : timesOf(our, row, main))),
          runsOf(row),
        ]),
      },
    ];
  });
}

const timesOf = (ours: Row, theirs: Row, { path, better }: Column): string => {
  const times = ratio(ours.value(path), theirs.value(path), better!);
  return times === undefined ? '' : `${shown(times)} ×`;
};

/** As "3", "2 of 3" when one was disturbed, and what else has to be known. */
function runsOf({ used, clean, all, errors, isComplete }: Row): string {
  const notes = [
    clean === 0 && all > 0 && 'disturbed',
    errors > 0 && `${errors} failed`,
    !isComplete && 'cut',
  ].filter(Boolean);
  const count = used === all ? String(all) : `${used} of ${all}`;
  return notes.length ? `${count} (${notes.join(', ')})` : count;
}

export const textOf = ({ title, about, head, rows }: WorkTable): string => {
  const table = new Table({
    head: [...head],
    colAligns: head.map((_, i) => (i < 2 ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  });
  table.push(...rows.map((row) => [...row]));
  return `${title}\n${about}\n${table.toString()}`;
};

export const markdownOf = ({ work, title, about, head, rows }: WorkTable): string =>
  [`### ${title}`, '', `\`${work}\`. ${about}`, '', gridOf(head, rows, 2)].join('\n');

/** @param names how many of the first columns are no numbers */
const gridOf = (head: readonly string[], rows: readonly (readonly string[])[], names: number): string =>
  [
    `| ${head.join(' | ')} |`,
    `|${head.map((_, i) => (i < names ? '---' : '--:')).join('|')}|`,
    ...rows.map((row) => `| ${row.join(' | ')} |`),
  ].join('\n');

const DERIVED = `### Derived, not measured

From CPU and WAL of \`w1\`, as if nothing else were in the way: locks, memory, the network.`;

/** All tables as they stand in docs/performance.md. */
export function pageOf(results: Results): string {
  const goals = goalRowsOf(results.records);
  const derived = derivedRowsOf(results.records, OURS);
  return [
    settingOf(results)
      .split('\n')
      .map((line) => `- ${line}`)
      .join('\n'),
    ...(goals.length > 0 ? [`### Goals\n\n${GOALS_ABOUT}`, gridOf(GOALS_HEAD, goals, 1)] : []),
    ...tablesOf(results.records).map(markdownOf),
    ...(derived.length > 0 ? [DERIVED, gridOf(DERIVED_HEAD, derived, 1)] : []),
  ].join('\n\n');
}

const [BEGIN, END] = ['<!-- figures: npm run bench -- --into -->', '<!-- end of figures -->'];

/** The text of a page with the figures in it replaced by these. */
export function pageWith(page: string, results: Results): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin)
    throw new Error(`The page has no place for figures, between ${BEGIN} and ${END}`);
  return `${page.slice(0, begin + BEGIN.length)}\n\n${pageOf(results)}\n\n${page.slice(end)}`;
}

/** All tables for a terminal. */
export function screenOf(results: Results): string {
  const goals = new Table({
    head: [...GOALS_HEAD],
    style: { head: [], border: [], compact: true },
  });
  goals.push(...goalRowsOf(results.records));
  return [
    '',
    ...tablesOf(results.records).map(textOf),
    `Goals\n${GOALS_ABOUT}\n${goals.toString()}`,
    settingOf(results),
  ].join('\n\n');
}

/** Machine, server and versions, in a few lines. */
export function settingOf({ at, machine, postgres, skipped, records }: Results): string {
  const settings = Object.entries(postgres.settings).map(([name, value]) => `${name}=${value}`);
  const versions = new Set(records.map(({ peer, version }) => `${peer} ${version}`));
  const commands = new Set(
    records.map(({ command, commit }) => `\`${command}\`${commit ? ` at ${commit}` : ''}`),
  );
  return [
    ...commands,
    `${at.slice(0, 16).replace('T', ' ')} UTC`,
    `${machine.cores} cores (${machine.cpu}), ${machine.memoryGib} GiB, ${machine.system}, Node ${machine.node}`,
    `PostgreSQL ${postgres.version}, ${settings.join(' ')}${postgres.inMemory ? '; ITS DATA LIE IN MEMORY: no time says anything' : ''}`,
    ...(postgres.countsStatements ? [] : ['no pg_stat_statements: statements are not counted']),
    [...versions].join(' · '),
    ...skipped.map((line) => `left out: ${line}`),
  ].join('\n');
}
