import { setTimeout as pause } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';

/**
 * The code of the thread that beats in place of the main thread. Plain JavaScript, because Node.js starts it as a file of its
 * own, from the sources as from the package. What it knows of the main thread is in shared memory: no message is sent per beat.
 *
 * @typedef {object} BeatThreadSettings
 * @property {SharedArrayBuffer} beats when the last beat of each thread was sent, in ns of `process.hrtime`
 * @property {import('pg').ClientConfig} connection
 * @property {string} statement one parameter, the worker; it changes one row while that is registered
 * @property {string} worker
 * @property {number} heartbeatMs
 * @property {number} maxBlockedMs
 */

/** Index of each thread's last beat. */
const MAIN = 0;
const OWN = 1;

/** The main thread is late after so many heartbeats: not at each small delay, and with time left to connect. */
const LATE = 1.5;
/** A connection that gives no sign of life is given up after this. */
const TIMEOUT_MS = 5000;
/** The connection is closed when it has not been needed for so many heartbeats. */
const IDLE = 10;

/** @type {BeatThreadSettings} */
const { beats, connection, statement, worker, heartbeatMs, maxBlockedMs } = workerData;
const sentAt = new BigInt64Array(beats);

/** @type {import('pg').Client | undefined} */
let client;
let usedAt = -Infinity;

const silence = () => Number(process.hrtime.bigint() - Atomics.load(sentAt, MAIN)) / 1e6;

async function connect() {
  // when it is needed for the first time: most processes never do, and it is half of what the thread costs
  const { default: pg } = await import('pg');
  const opening = new pg.Client({ ...connection, connectionTimeoutMillis: TIMEOUT_MS });
  // without a listener a connection that is cut would end the thread
  opening.on('error', () => drop(opening));
  opening.on('end', () => drop(opening));
  await opening.connect();
  return opening;
}

/** @param {import('pg').Client | undefined} old */
function drop(old) {
  if (client === old) client = undefined;
  old?.end().catch(() => undefined);
}

/** @returns {Promise<boolean>} whether it arrived */
async function beat() {
  try {
    client ??= await connect();
    const sent = process.hrtime.bigint();
    // without a name: behind a transaction pooler each statement may reach another connection
    const query = { text: statement, values: [worker], query_timeout: TIMEOUT_MS };
    const { rowCount } = await client.query(query);
    usedAt = performance.now();
    // none: the others have presumed this process dead, and the main thread must find out
    if (rowCount === 1) Atomics.store(sentAt, OWN, sent);
    return true;
  } catch {
    // told by the main thread, if it is the database that is away
    drop(client);
    return false;
  }
}

async function run() {
  for (;;) {
    const silentFor = silence();
    if (silentFor < LATE * heartbeatMs) {
      if (performance.now() - usedAt > IDLE * heartbeatMs) drop(client);
      await pause(Math.max(1, LATE * heartbeatMs - silentFor));
    } else if (silentFor > maxBlockedMs) {
      drop(client);
      await pause(heartbeatMs);
    } else {
      await pause((await beat()) ? heartbeatMs : heartbeatMs / 2);
    }
  }
}

/** The connection is closed in order, and with it goes the last thing that the thread lives on. */
async function stop() {
  await client?.end().catch(() => undefined);
  process.exit();
}

// but that it is missing from here, as beside a bundle, is to be known at once
import.meta.resolve('pg');
parentPort?.once('message', () => void stop());
parentPort?.postMessage('ready');
void run();
