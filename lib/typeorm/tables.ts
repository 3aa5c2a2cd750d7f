/** The tables of this library, by role. */
export const TABLE_NAMES = {
  run: 'workflow_run',
  step: 'workflow_step',
  task: 'workflow_task',
  message: 'workflow_message',
  worker: 'workflow_worker',
  schedule: 'workflow_schedule',
  flow: 'workflow_flow_control',
  flowNote: 'workflow_flow_note',
} as const;

/** Quoted, schema-qualified names for hand-written SQL. */
export type Tables = Readonly<Record<keyof typeof TABLE_NAMES, string>>;

export const quoteIdentifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** @param schema without one, names are left to the connection's search_path */
export function tablesOf(schema: string | undefined): Tables {
  const prefix = schema === undefined ? '' : `${quoteIdentifier(schema)}.`;
  return Object.fromEntries(
    Object.entries(TABLE_NAMES).map(([role, name]) => [role, prefix + quoteIdentifier(name)]),
  ) as Tables;
}
