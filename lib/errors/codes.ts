/**
 * Every error this library raises, with the HTTP status it maps to and the remedy that ends its message.
 * `docs/errors.md` has one section per code; `test/errors.spec.ts` compares both directions.
 */
export const WORKFLOW_ERRORS = {
  WF_UNKNOWN_WORKFLOW: {
    status: 404,
    remedy: 'Add the class to the `providers` of a module that this process loads.',
  },
  WF_DUPLICATE_WORKFLOW: {
    status: 500,
    remedy: 'Give each @Workflow class a name (or version) of its own and provide it in one module only.',
  },
  WF_DUPLICATE_MODULE: {
    status: 500,
    remedy:
      'Call `WorkflowModule.forRoot()` once, in the root module; `isGlobal: true` makes the client injectable everywhere.',
  },
  WF_INVALID_WORKFLOW: { status: 500, remedy: 'A @Workflow class needs one async `run(ctx)` method.' },
  WF_INVALID_STEP: { status: 500, remedy: 'Put @Step() on an async method of a class.' },
  WF_INVALID_OPTIONS: {
    status: 500,
    remedy: 'Correct the option; the README lists all of them with units and defaults.',
  },
  WF_INVALID_DURATION: {
    status: 400,
    remedy: "Write a number and a unit, such as '30s', '5m', '2h', '7d'; units are ms, s, m, h, d, w.",
  },
  WF_INVALID_SCHEDULE: {
    status: 400,
    remedy:
      "Give `cron` (five or six fields) with an IANA `timezone`, or `every` of at least '1s'; see docs/schedules.md.",
  },
  WF_INVALID_FLOW_CONTROL: {
    status: 400,
    remedy:
      "Give a `key` and `parallelism`, `rate` or both: `{ key: 'mail', parallelism: 5, rate: 100, period: '1m' }`.",
  },
  WF_INVALID_ARGUMENT: { status: 400, remedy: 'Correct the argument.' },
  WF_NOT_SERIALIZABLE: {
    status: 400,
    remedy:
      'Return or pass plain data: what JSON holds, and undefined, bigint, Date, Map, Set, Buffer, typed arrays, URL, RegExp.',
  },
  WF_TOO_LARGE: {
    status: 413,
    remedy: 'Store the data elsewhere and pass a reference, or raise `maxPayloadBytes`.',
  },
  WF_NOT_STORABLE: {
    status: 422,
    remedy: 'The database refused the value; return something else from the step.',
  },
  WF_RUN_NOT_FOUND: { status: 404, remedy: 'Check the run id; `client.list()` shows the runs that exist.' },
  WF_RUN_EXISTS: { status: 409, remedy: 'Use another runId, or trigger with the same workflow and payload.' },
  WF_INVOKE_DEPTH: {
    status: 422,
    remedy: 'A workflow that invokes itself needs an end; for endless loops use one run that goes on.',
  },
  WF_SCHEDULE_NOT_FOUND: {
    status: 404,
    remedy: 'Check the id; `client.schedules.list()` shows the schedules that exist.',
  },
  WF_SCHEDULE_EXISTS: { status: 409, remedy: 'Use another id, or change the @Schedule in the code.' },
  WF_RUN_FAILED: { status: 500, remedy: 'The `cause` and `client.journal(runId)` tell which step failed.' },
  WF_RUN_CANCELLED: { status: 409, remedy: 'The run was cancelled; trigger a new one.' },
  WF_RUN_TIMEOUT: { status: 504, remedy: 'Raise `timeout` of @Workflow, or make the steps faster.' },
  WF_RESULT_TIMEOUT: {
    status: 504,
    remedy: 'The run still goes on; ask again later, or give `result()` a longer timeout.',
  },
  WF_STEP_FAILED: {
    status: 500,
    remedy: 'Catch StepFailedError in `run`, or mend the step; `failure` tells what it threw.',
  },
  WF_STEP_TIMEOUT: {
    status: 504,
    remedy:
      'Raise `timeout` of the step, or make it faster; pass `currentStep().signal` on so that it stops in time.',
  },
  WF_CALL_DENIED: {
    status: 403,
    remedy: 'Call another address, or list this one in `http.calls.allow` if it may be reached.',
  },
  WF_CALL_FAILED: {
    status: 502,
    remedy:
      'The `cause` tells what the connection ended with; see to the other side, or give the call more retries.',
  },
  WF_CALL_TIMEOUT: {
    status: 504,
    remedy: 'Raise `timeout` of the call (12 h at most), or see to the other side.',
  },
  WF_CALL_TOO_LARGE: {
    status: 502,
    remedy: 'Ask for less, or raise `http.calls.maxResponseBytes`.',
  },
  WF_CALL_STATUS: {
    status: 502,
    remedy:
      'Leave `throwOnError` out to get the response as a value, or see to the request; `failure.data` has the status and body.',
  },
  WF_MAX_STEPS: { status: 500, remedy: 'Look for an endless loop in `run`, or raise `maxSteps`.' },
  WF_NON_DETERMINISM: {
    status: 500,
    remedy: 'Restore the order, or give the changed workflow a new version.',
  },
  WF_NO_PROGRESS: { status: 500, remedy: '`run` may await durable calls only; put other work into a step.' },
  WF_ASYNC_OUTSIDE_STEP: { status: 500, remedy: 'Put the I/O that `run` awaits directly into a step.' },
  WF_WORKER_LOST: {
    status: 500,
    remedy: 'Find out why the process dies in this step (memory, native crash); its journal names the step.',
  },
  WF_SIDE_EFFECT_IN_RUN: {
    status: 500,
    remedy: 'Use ctx.trigger, ctx.invoke or ctx.notify, or call the client inside a step.',
  },
  WF_NO_STEP: { status: 500, remedy: 'Call currentStep() only inside a @Step method or a ctx.run callback.' },
  WF_DATABASE_NOT_POSTGRES: {
    status: 500,
    remedy: "Give the module a PostgreSQL of its own: `database: { url: 'postgres://…' }`.",
  },
  WF_DRIVER_MISSING: { status: 500, remedy: 'Install the package named above.' },
  WF_EMBEDDED_IN_PRODUCTION: {
    status: 500,
    remedy:
      "Configure `database: { url }` or a TypeORM DataSource, or say `database: { embedded: 'folder' }` if this is meant.",
  },
  WF_DATABASE_IN_USE: {
    status: 500,
    remedy: 'Stop the other process, or use PostgreSQL: an embedded folder serves one process.',
  },
  WF_DATABASE_UNAVAILABLE: { status: 503, remedy: 'Start the database or correct its URL.' },
  WF_MIGRATIONS_PENDING: {
    status: 500,
    remedy: 'Run `workflowMigrations` with your own migrations, or allow `migrate: true`.',
  },
  WF_MANAGER_FOREIGN: {
    status: 500,
    remedy: 'Pass an EntityManager of a DataSource on the database that the workflow module uses.',
  },
  WF_CALLBACK_UNREACHABLE: {
    status: 503,
    remedy: 'Correct `http.url` so that it reaches this application, or leave it out.',
  },
  WF_SIGNING_KEY_MISSING: {
    status: 500,
    remedy: 'Set `http.signingKey` (at least 32 characters, the same in all processes).',
  },
  WF_UNSIGNED: {
    status: 401,
    remedy:
      'Send the delivery through the workflow dispatcher, with the same `http.signingKey` on both sides.',
  },
  WF_BAD_DELIVERY: { status: 400, remedy: 'See docs/protocol.md for the body of a delivery.' },
  WF_STALE_DELIVERY: {
    status: 409,
    remedy: 'Nothing to do: another delivery of this task has overtaken this one.',
  },
  WF_NOT_SERVED: {
    status: 421,
    remedy: 'Deploy the workflow and version to this instance, or route its callbacks elsewhere.',
  },
  WF_SHUTTING_DOWN: { status: 503, remedy: 'Try again: another instance goes on.' },
  WF_NO_PUBLIC_URL: {
    status: 500,
    remedy: 'Set `http.publicUrl` to the base URL at which the outside world reaches this application.',
  },
  WF_WEBHOOK_NOT_FOUND: {
    status: 404,
    remedy: 'Nothing to do: the run has ended, or the URL is not the whole one.',
  },
  WF_WEBHOOK_REFUSED: {
    status: 400,
    remedy: 'The message says what is wrong with the call; the status is 400, 405, 408, 413 or 415.',
  },
  WF_WEBHOOK_DENIED: {
    status: 401,
    remedy: 'Sign the call as the method marked @VerifyWebhook expects it.',
  },
  WF_WEBHOOK_UNAVAILABLE: {
    status: 503,
    remedy: 'Send the call again after the seconds that `Retry-After` names.',
  },
  WF_NO_BENCH: {
    status: 500,
    remedy:
      'Import WorkflowTestingModule.forRoot(), or WorkflowTestingModule.forApp() beside the module that imports WorkflowModule, and await app.init() first.',
  },
} as const satisfies Record<string, { readonly status: number; readonly remedy: string }>;

/** The stable name of an error; never reused for another meaning. */
export type WorkflowErrorCode = keyof typeof WORKFLOW_ERRORS;
