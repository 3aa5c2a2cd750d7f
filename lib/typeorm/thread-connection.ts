import type pg from 'pg';

/** What decides where and how a connection is made; all else of a pool's options is the pool's. */
const CONNECTION_OPTIONS = [
  'connectionString',
  'host',
  'port',
  'user',
  'password',
  'database',
  'ssl',
  'sslnegotiation',
  'enableChannelBinding',
  'options',
  'application_name',
  'fallback_application_name',
  'client_encoding',
  'statement_timeout',
  'lock_timeout',
  'keepAlive',
  'keepAliveInitialDelayMillis',
] as const;

/**
 * The options of a pool's connections, as another thread can be given them.
 * @throws when they cannot leave this thread: a password that is asked for, a socket or a check that is a function
 */
export function threadConnection(pool: object): pg.ClientConfig {
  const given = pool as Record<string, unknown>;
  for (const name of ['stream', 'connection']) {
    if (given[name] !== undefined) throw new Error(`\`${name}\` of the connection options is of this thread`);
  }
  if (typeof given.password === 'function') throw new Error('the password is a function');
  // named one by one: node-postgres makes passwords and keys invisible to whoever copies all
  const chosen = Object.fromEntries(CONNECTION_OPTIONS.map((name) => [name, given[name]]));
  const { ssl } = given;
  if (typeof ssl === 'object' && ssl !== null) chosen.ssl = { ...ssl, ...pick(ssl, 'key') };
  return structuredClone(chosen);
}

const pick = (from: object, name: string): object => {
  const value = (from as Record<string, unknown>)[name];
  return value === undefined ? {} : { [name]: value };
};
