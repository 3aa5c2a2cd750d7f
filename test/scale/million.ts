import type { DataSource } from 'typeorm';

export const MILLION = 1_000_000;

/** Names in what is inserted. */
export const BIG = 'big';
export const OLD_VERSION = `${BIG}@1`;
export const LINE = 'line';
export const OWNER = '00000000-0000-4000-8000-00000000000a';
export const DEAD = '00000000-0000-4000-8000-00000000000b';

/**
 * A million rows in each of the large tables, as the engine would have left them: half of the runs have ended; the others are due,
 * asleep, wait for an event or for nothing, are leased, stand in a line, wait for a singleton key, or for a version that nobody
 * serves; each with a step or a call beside it. Takes a while: once for all tests of a file.
 */
export async function insertMillions(source: DataSource): Promise<void> {
  const half = MILLION / 2;
  // not one by one in the log of the server, and in one transaction each
  const send = (text: string, values: unknown[] = []): Promise<unknown> => source.query(text, values);
  await Promise.all([
    send(
      `insert into workflow_worker (id, host, pid, beat_at, serves) values ($1, 'here', 1, now() + interval '1 day', $2), ($3, 'gone', 2, now() - interval '1 hour', $2)`,
      [OWNER, [BIG], DEAD],
    ),
    send(
      `insert into workflow_worker (id, host, pid, beat_at, serves)
     select gen_random_uuid(), 'gone', n, now() - interval '1 hour', $1 from generate_series(1, 20) n`,
      [[BIG]],
    ),
    send(
      `insert into workflow_run (run_id, workflow, version, status, payload, result, labels, trigger_id, created_at, finished_at, singleton_key, parent_id)
     select 'run' || n, '${BIG}', case when not ended and n % 20 = 19 then '1' end,
       case when ended then 'completed' else 'active' end, '1', case when ended then '1' end,
       case when n % 100 = 0 then array['labelled'] else '{}' end, gen_random_uuid(), now() - interval '1 day',
       case when ended then now() end, case when not ended and n % 20 = 18 then 'single' end, case when n % 10 = 5 then n / 10 + 1 end
     from generate_series(1, ${MILLION}) n, lateral (select n <= ${half} as ended) e`,
    ),
    // of twenty runs: 5 due, 6 asleep, 3 wait for events, 1 has a wait without end, 2 in a line, 1 leased, 1 parked, 1 of an old version
    send(
      `insert into workflow_task (execution, workflow, priority, kind, step_key, due_at, lease_owner, fence, flow_key, stuck)
     select n, case when k = 19 then '${OLD_VERSION}' else '${BIG}' end, case when k = 18 then 32767 else 0 end, 'advance', '',
       case when k < 5 then now() - interval '1 hour' * random() when k < 11 then now() + interval '1 year' * random() + interval '1 hour'
            when k < 15 then 'infinity' else now() - interval '1 minute' end,
       case when k = 17 and n % 1000 = 17 then '${DEAD}'::uuid when k = 17 and n % 1000 = 37 then '${OWNER}'::uuid end, 1,
       case when k in (15, 16) then '${LINE}' end, case when k = 13 and n % 1000 = 13 then 'WF_NONDETERMINISM: other code' end
     from generate_series(${half + 1}, ${MILLION}) n, lateral (select n % 20 as k) m`,
    ),
    send(
      `insert into workflow_task (execution, workflow, kind, step_key, due_at, fence)
     select n, case when n % 2 = 0 then '${BIG}@call' else '${BIG}' end, case when n % 2 = 0 then 'call' else 'step' end, 'beside',
       now() + interval '1 hour' * random() + interval '1 hour', 1
     from generate_series(${half + 1}, ${MILLION}) n`,
    ),
    // of each run: a fact, or (of those that go on) what is asked and not answered, or answered and not taken
    send(
      `insert into workflow_step (execution, key, name, kind, state, position, value, asked_at, finished_at, wake_at, event)
     select n, 'first', 'first', case when k = 14 then 'webhook' when k between 11 and 14 then 'wait' else 'step' end, state,
       case when state = 'journaled' then 1 end, case when state <> 'pending' then '1' end, now(), case when state <> 'pending' then now() end,
       case when k between 5 and 10 then now() + interval '1 year' end, case when k between 11 and 13 then 'event ' || n % 1000 when k = 14 then 'webhook ' || n end
     from generate_series(1, ${MILLION}) n, lateral (select n % 20 as k) m,
       lateral (select case when n <= ${half} or k < 5 then 'journaled' when k = 16 then 'answered' else 'pending' end as state) s`,
    ),
    send(
      `insert into workflow_message (id, execution, event, event_id, data, created_at, expires_at)
     select gen_random_uuid(), case when n > ${half} then n end, 'kept ' || n % 1000, gen_random_uuid(), '1', now(),
       case when n <= ${half} then now() + interval '1 day' end
     from generate_series(1, ${MILLION}) n`,
    ),
    send(
      `insert into workflow_schedule (id, workflow, every_ms, timezone, overlap, catch_up, payload, source, next_at, created_at, updated_at)
     select 'schedule ' || n, '${BIG}', 60000, 'UTC', 'allow', 'skip', '1', 'client', now() + interval '1 day' * random() + interval '1 hour', now(), now()
     from generate_series(1, 20000) n`,
    ),
    send(
      `insert into workflow_flow_control (key, workflow, parallelism, paused, is_full, head_at, blocked_until, served_at, ready_at, window_ends, window_counts)
     select case when n = 0 then '${LINE}' else 'key ' || n end, '${BIG}', 5, n = 0, false, case when n = 0 then now() - interval '1 hour' else 'infinity' end,
       '-infinity', now(), case when n = 0 then now() - interval '1 hour' else 'infinity' end, '{}', '{}'
     from generate_series(0, 20000) n`,
    ),
  ]);
  await send('vacuum analyze');
}
