/** Whether what was started in a database was done, all of it and nothing twice. */
import type { Environment } from '../environment.js';
import type { Marks } from '../messages.js';
import { exactly, type Check } from './check.js';

/** Of the warm-up: 60 runs of 3 steps. */
export const WARM = { runs: 60, steps: 180 } as const;

export async function audit(
  of: string,
  env: Environment,
  expected: { runs: number; steps: number },
): Promise<Check[]> {
  const { rows } = await env.database.client.query<Record<'completed' | 'other' | 'steps' | 'tasks', string>>(
    `select (select count(*) from workflow_run where status = 'completed') as completed,
       (select count(*) from workflow_run where status <> 'completed') as other,
       (select count(*) from workflow_step where state = 'journaled' and kind = 'step' and attempts <= 1) as steps,
       (select count(*) from workflow_task) as tasks`,
  );
  const { completed, other, steps, tasks } = rows[0]!;
  const marks = await Promise.all(env.workers.map((worker) => worker.ask('marks', {})));
  const sum = (value: (of: Marks) => number): number => marks.reduce((all, one) => all + value(one), 0);
  return [
    exactly(of, 'runs completed', Number(completed), expected.runs),
    exactly(of, 'runs that are not', Number(other), 0),
    exactly(of, 'tasks left over', Number(tasks), 0),
    exactly(
      of,
      'bodies that came to their end',
      sum(({ done }) => done),
      expected.runs,
    ),
    exactly(of, 'steps in the journal', Number(steps), expected.steps),
    exactly(
      of,
      'executions of a step',
      sum(({ executed }) => executed.calls),
      expected.steps,
    ),
    exactly(
      of,
      'different steps executed',
      sum(({ executed }) => executed.steps),
      expected.steps,
    ),
  ];
}
