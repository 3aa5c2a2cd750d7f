import { Injectable } from '@nestjs/common';
import type { ChildEnd } from '../engine/arrivals.js';
import { Aftermath } from './aftermath.js';

/** How a child has ended, before its flush is back. */
export interface LocalEnd extends ChildEnd {
  readonly execution: string;
  /** Resolves, and never rejects: false when nothing of the end was stored. */
  readonly durable: Promise<boolean>;
}

/** A parent that waits in memory for a child which executes in this process. */
export interface LocalParent {
  told(end: LocalEnd): void;
  /** It may still run, but nothing will be told here: it waits itself, was cancelled, or goes on elsewhere. */
  gone(): void;
}

/**
 * Ends of children, told to parents that wait for them in this process: sooner than the statement that reports them (see
 * local-children.ts). Nothing depends on it. Each end is marked as any other, and who is not told here, or forgets it, is told by message.
 */
@Injectable()
export class LocalEnds {
  /** by the execution of the child */
  readonly #parents = new Map<string, LocalParent>();

  constructor(private readonly aftermath: Aftermath) {}

  expect(child: string, parent: LocalParent): void {
    this.#parents.set(child, parent);
  }

  forget(child: string): void {
    this.#parents.delete(child);
  }

  /** True when its parent sees to the mark from now on. @param stored the flush of this end, which was sent just now */
  tell(end: ChildEnd, child: string, stored: Promise<boolean>): boolean {
    const parent = this.#parents.get(child);
    if (!parent) return false;
    this.#parents.delete(child);
    parent.told({
      kind: end.kind,
      data: end.data,
      execution: child,
      durable: stored.catch(() => false),
    });
    return true;
  }

  /** This process executes the child no more, and has told nothing. */
  gone(child: string): void {
    const parent = this.#parents.get(child);
    if (!parent) return;
    this.#parents.delete(child);
    parent.gone();
  }

  /** The parent has stored what it was told: nobody need be told any more. */
  paid(children: readonly string[]): void {
    this.aftermath.reported(children);
  }

  /** It has not: the statement that reports them does it, as soon as there is something to be found. */
  unpaid(ends: readonly LocalEnd[]): void {
    for (const { durable } of ends) void durable.then((isDurable) => isDurable && this.aftermath.report());
  }
}
