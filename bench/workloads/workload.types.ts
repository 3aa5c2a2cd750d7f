import type { Environment } from '../environment.js';

/** Numbers that replace those of a workload, for a shorter or longer one. */
export type Overrides = Readonly<Record<string, number>>;

export interface Column {
  readonly label: string;
  /** where it stands in what `run` gives, as `per.cpuMs` */
  readonly path: string;
  readonly better?: 'higher' | 'lower';
}

export interface Workload {
  readonly title: string;
  /** what is measured, in a sentence */
  readonly about: string;
  /** the first one with `better` is what peers are compared by */
  readonly columns: readonly Column[];
  /** so many runs are enough, and others when they are not asked for */
  readonly runs?: number;
  /** `env` is set up, and no process is started yet */
  run(env: Environment, settings: Overrides): Promise<Record<string, unknown>>;
}

const column = (label: string, path: string, better?: 'higher' | 'lower'): Column => ({
  label,
  path,
  ...(better && { better }),
});
export const higher = (label: string, path: string): Column => column(label, path, 'higher');
export const lower = (label: string, path: string): Column => column(label, path, 'lower');
export const plain = (label: string, path: string): Column => column(label, path);

export const COST: readonly Column[] = [
  plain('CPU ms', 'per.cpuMs'),
  plain('Node', 'per.nodeMs'),
  plain('PG', 'per.pgMs'),
  plain('statements', 'per.statements'),
  plain('commits', 'per.writeTx'),
];
