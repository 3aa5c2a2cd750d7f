import { WorkflowError } from '../errors/index.js';

/**
 * The queue in which tasks of a version stand: claimed by the processes that serve it, and by no others. External calls stand in
 * one beside it (see `callQueue`), so no version is named `call`; and none holds an `@`, which divides the two.
 */
export const queueOf = (workflow: string, version: string | null): string =>
  version === null ? workflow : `${workflow}@${version}`;

/** @throws WorkflowError WF_INVALID_ARGUMENT */
export function checkVersion(version: string, workflow: string): void {
  if (version !== 'call' && !version.includes('@')) return;
  throw new WorkflowError(
    'WF_INVALID_ARGUMENT',
    `The version of @Workflow "${workflow}" is "${version}"; it may not be "call", nor hold an "@"`,
  );
}

const collator = new Intl.Collator('en', { numeric: true });

/** Older first, as a person reads them: none, '1', '2', '10', '10.1'. */
export function compareVersions(a: string | null, b: string | null): number {
  if (a === null || b === null) return Number(a !== null) - Number(b !== null);
  return collator.compare(a, b);
}

/** What a version goes by in a message. */
export const versionName = (workflow: string, version: string | null): string =>
  version === null ? `"${workflow}"` : `"${workflow}" in version "${version}"`;

/** A queue whose runs are to go on in another version. */
export interface Takeover {
  readonly queue: string;
  readonly workflow: string;
  /** of the runs */
  readonly from: string | null;
  /** in which they go on; the same as `from` where their tasks only stand in the wrong queue */
  readonly to: string | null;
}

interface Served {
  readonly name: string;
  readonly version: string | null;
  readonly takesOver: readonly (string | null)[];
}

/**
 * What becomes of runs that stand in queues which no process serves: the newest version that says it takes theirs over gets them.
 * Tasks of a version may stand in the queue of the name alone, where a release before queues had versions put them: first they
 * get into the queue of their version, which may well be served.
 */
export function takeoversFor(unserved: readonly string[], served: readonly Served[]): Takeover[] {
  const found = new Map<string, Takeover>();
  for (const { name: workflow, version, takesOver } of served.toSorted((a, b) =>
    compareVersions(a.version, b.version),
  )) {
    const offers = [
      ...takesOver.map((from) => ({ queue: queueOf(workflow, from), workflow, from, to: version })),
      ...[version, ...takesOver].flatMap((own) =>
        own === null ? [] : [{ queue: workflow, workflow, from: own, to: own }],
      ),
    ];
    for (const offer of offers) {
      if (unserved.includes(offer.queue)) found.set(JSON.stringify([offer.queue, offer.from]), offer);
    }
  }
  return [...found.values()];
}
