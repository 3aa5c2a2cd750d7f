/** What an error of the database or of its connection means for the caller. Wrapped errors are looked into. */

const CONNECTION_CODES = new Set([
  // the server ends the connection, or takes none: shutdown, crash, starting up, idle limit, too many
  '57P01',
  '57P02',
  '57P03',
  '57P05',
  '25P03',
  '53300',
  // a former primary after a failover: another connection finds the new one
  '25006',
  // of Node.js
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
]);

/** node-postgres says these in words only. */
const CONNECTION_MESSAGES =
  /^(Connection terminated|Query read timeout|timeout exceeded when trying to connect|timeout expired|Client has encountered a connection error|Client was closed|This socket has been ended)/;

/** serialization failure, deadlock, lock timeout */
const RETRY_CODES = new Set(['40001', '40P01', '55P03']);

interface Layer {
  readonly code: string;
  readonly message: string;
  /** the server ended the session */
  readonly fatal: boolean;
}

/** The error and what it wraps (TypeORM's `driverError`, `cause`), outermost first. */
function layersOf(error: unknown): Layer[] {
  const layers: Layer[] = [];
  for (let at = error; typeof at === 'object' && at !== null && layers.length < 8;) {
    const { code, message, severity, driverError, cause } = at as Record<string, unknown>;
    layers.push({
      code: typeof code === 'string' ? code : '',
      message: typeof message === 'string' ? message : '',
      fatal: severity === 'FATAL',
    });
    at = driverError ?? cause;
  }
  return layers;
}

const isSqlState = (code: string): boolean => /^[0-9A-Z]{5}$/.test(code) && /[0-9]/.test(code);

/** The five characters of SQLSTATE, when the server answered. */
export const sqlStateOf = (error: unknown): string | undefined =>
  layersOf(error).find(({ code }) => isSqlState(code))?.code;

/** The connection failed. Whether the statement was executed is unknown. */
export const isConnectionError = (error: unknown): boolean =>
  layersOf(error).some(
    ({ code, message, fatal }) =>
      CONNECTION_CODES.has(code) ||
      (isSqlState(code) && code.startsWith('08')) ||
      // "database is not currently accepting connections", and only as the end of a connection
      (code === '55000' && fatal) ||
      CONNECTION_MESSAGES.test(message),
  );

/** The same statement, sent again unchanged, may succeed. */
export const isTransient = (error: unknown): boolean =>
  isConnectionError(error) || layersOf(error).some(({ code }) => RETRY_CODES.has(code));

/** A value of the statement is to blame (SQLSTATE classes 22 data, 23 constraint, 54 limit): sent again it fails again. */
export const isPoison = (error: unknown): boolean => {
  const state = sqlStateOf(error);
  return state !== undefined && ['22', '23', '54'].includes(state.slice(0, 2));
};
