import type { TriggerRow } from '../ports/index.js';
import { bools, float8s, int2s, int4s, int8s, texts, uuids } from './binary-array.js';
import { textArray } from './text-array.js';

/** $2-$11, which both statements have in common. */
const commonColumns = (rows: readonly TriggerRow[]): Buffer[] => [
  uuids(rows.map((r) => r.triggerId)),
  texts(rows.map((r) => r.runId)),
  texts(rows.map((r) => r.workflow)),
  texts(rows.map((r) => r.version)),
  texts(rows.map((r) => r.payload)),
  // each as text: unnest would flatten arrays of arrays
  texts(rows.map((r) => textArray(r.labels))),
  float8s(rows.map((r) => ('inMs' in r.due ? r.due.inMs : null))),
  float8s(rows.map((r) => ('at' in r.due ? r.due.at : null))),
  float8s(rows.map((r) => r.deadlineInMs)),
  uuids(rows.map((r) => r.owner)),
];

/** Parameters of `triggerLean`. */
export const triggerLeanValues = (now: number | null, rows: readonly TriggerRow[]): unknown[] => [
  now,
  ...commonColumns(rows),
  int2s(rows.map((r) => r.priority ?? 0)),
];

/** Parameters of `triggerOne`. */
export const triggerOneValues = (now: number | null, r: TriggerRow): unknown[] => [
  now,
  r.triggerId,
  r.runId,
  r.workflow,
  r.version,
  r.payload,
  textArray(r.labels),
  'inMs' in r.due ? r.due.inMs : null,
  'at' in r.due ? r.due.at : null,
  r.deadlineInMs,
  r.owner,
  r.priority ?? 0,
];

/** Parameters of `triggerChild`. */
export const triggerChildValues = (now: number | null, row: TriggerRow): unknown[] => [
  ...triggerOneValues(now, row),
  row.parent!.execution,
  row.parent!.key,
  row.parent!.depth,
  row.parent!.cascades,
];

/** Parameters of `trigger`. */
export const triggerValues = (
  now: number | null,
  rows: readonly TriggerRow[],
  allOrNone: boolean,
): unknown[] => [
  now,
  ...commonColumns(rows),
  allOrNone,
  int8s(rows.map((r) => r.parent?.execution ?? null)),
  texts(rows.map((r) => r.parent?.key ?? null)),
  int2s(rows.map((r) => r.parent?.depth ?? null)),
  bools(rows.map((r) => r.parent?.cascades ?? null)),
  int2s(rows.map((r) => r.priority ?? 0)),
  texts(rows.map((r) => r.flow?.key ?? null)),
  int4s(rows.map((r) => r.flow?.parallelism ?? null)),
  int4s(rows.map((r) => r.flow?.rate ?? null)),
  int4s(rows.map((r) => r.flow?.periodMs ?? null)),
  texts(rows.map((r) => r.singleton?.key ?? null)),
  bools(rows.map((r) => (r.singleton ? r.singleton.policy === 'skip' : null))),
];
