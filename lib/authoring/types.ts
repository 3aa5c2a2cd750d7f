import type { Type } from '@nestjs/common';
import type { WorkflowContext } from './context.js';

type Scalar = string | number | boolean | null | undefined | bigint | Date | Uint8Array | URL;

/** T itself when the codec keeps it whole; `never` at the places where it would not (methods, symbols). */
export type Stored<T> = 0 extends 1 & T
  ? T
  : T extends Scalar
    ? T
    : T extends (...a: never[]) => unknown
      ? never
      : T extends symbol
        ? never
        : T extends ReadonlyMap<infer K, infer V>
          ? T extends Map<K, V>
            ? Map<Stored<K>, Stored<V>>
            : T
          : T extends ReadonlySet<infer V>
            ? T extends Set<V>
              ? Set<Stored<V>>
              : T
            : T extends object
              ? { [K in keyof T]: Stored<T[K]> }
              : T;

/** A workflow class: one async `run`, which awaits durable calls only. */
export interface WorkflowHandler<P = void, R = unknown> {
  run(ctx: WorkflowContext<P>): Promise<R>;
}

/** Payload type of a workflow class. */
export type PayloadOf<W> = W extends { run(ctx: WorkflowContext<infer P>): unknown } ? P : never;
/** Result type of a workflow class. */
export type ResultOf<W> = W extends { run(ctx: any): Promise<infer R> } ? R : never;

/** Payload and options of a call: the payload may be left out where the workflow takes none. */
export type Args<P, O> = unknown extends P
  ? [payload?: unknown, options?: O]
  : [P] extends [void]
    ? [payload?: undefined, options?: O]
    : [payload: P, options?: O];

export type WorkflowType<W extends WorkflowHandler<any, any> = WorkflowHandler<any, any>> = Type<W>;
