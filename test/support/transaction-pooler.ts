import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** What stands between the clients and the server, on 127.0.0.1. */
export interface Pooler {
  readonly port: number;
  dispose(): Promise<void>;
}

const SERVER_CONNECTIONS = 4;
const SSL_REQUEST = 80877103;
const CANCEL_REQUEST = 80877102;

/**
 * The least that is a transaction pooler, for machines without PgBouncer: a server connection belongs to a client from its first
 * message until the server says that no transaction is open. Worse than PgBouncer on purpose: the connection that was idle for the
 * longest is next, so that hardly two statements of a client meet the same one.
 * For servers that ask for no password.
 */
export async function startTransactionPooler(url: string): Promise<Pooler> {
  const { hostname, port, username } = new URL(url);
  const pools = new Map<string, Pool>();
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on('close', () => sockets.delete(socket)));
    const dial = (): Socket => connect(Number(port || 5432), hostname).setNoDelay();
    const poolOf = (database: string): Pool => {
      const pool = pools.get(database) ?? new Pool(() => new ServerConnection(dial(), username, database));
      pools.set(database, pool);
      return pool;
    };
    void new ClientConnection(socket.setNoDelay(), poolOf);
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  return {
    port: (server.address() as AddressInfo).port,
    dispose: async () => {
      for (const socket of sockets) socket.destroy();
      for (const pool of pools.values()) pool.close();
      await new Promise((closed) => server.close(closed));
    },
  };
}

/** Cuts a stream into messages: a type, a length, and what belongs to it. The first of a client has no type. */
class Messages {
  #rest: Buffer = Buffer.alloc(0);

  constructor(public typed: boolean) {}

  *of(chunk: Buffer): Generator<Buffer> {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (;;) {
      const at = this.typed ? 1 : 0;
      if (this.#rest.length < at + 4) return;
      const length = at + this.#rest.readInt32BE(at);
      if (this.#rest.length < length) return;
      const message = this.#rest.subarray(0, length);
      this.#rest = this.#rest.subarray(length);
      yield message;
    }
  }
}

const typeOf = (message: Buffer): string => String.fromCharCode(message[0]!);
const messageOf = (type: string, body: Buffer): Buffer => {
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
};
const READY = messageOf('Z', Buffer.from('I'));

class ServerConnection {
  readonly #messages = new Messages(true);
  readonly ready: Promise<void>;
  /** what a client is told at its login */
  greeting: Buffer = Buffer.alloc(0);
  client: ClientConnection | undefined;

  constructor(
    readonly socket: Socket,
    user: string,
    database: string,
  ) {
    const body = Buffer.from(`\0\x03\0\0user\0${user}\0database\0${database}\0\0`, 'latin1');
    const head = Buffer.alloc(4);
    head.writeInt32BE(body.length + 4);
    socket.write(Buffer.concat([head, body]));
    this.ready = new Promise((ready, failed) => {
      const ended = (): void => {
        failed(new Error('The server closed the connection'));
        this.client?.lost();
      };
      socket.on('error', ended).on('close', ended);
      let greeted = false;
      socket.on('data', (chunk) => {
        for (const message of this.#messages.of(chunk)) {
          if (greeted) this.client?.fromServer(message);
          else this.greeting = Buffer.concat([this.greeting, message]);
          if (typeOf(message) === 'R' && message.readInt32BE(5) !== 0)
            failed(new Error('The server asks for a password'));
          if (typeOf(message) === 'Z' && !greeted) {
            greeted = true;
            ready();
          }
        }
      });
    });
    this.ready.catch(() => undefined);
  }
}

class Pool {
  readonly #idle: ServerConnection[] = [];
  readonly #waiting: ((connection: ServerConnection) => void)[] = [];
  readonly #all = new Set<ServerConnection>();

  constructor(private readonly make: () => ServerConnection) {}

  async take(): Promise<ServerConnection> {
    if (this.#all.size < SERVER_CONNECTIONS) {
      const made = this.make();
      this.#all.add(made);
      made.socket.on('close', () => {
        this.#all.delete(made);
        const at = this.#idle.indexOf(made);
        if (at >= 0) this.#idle.splice(at, 1);
        void this.#replace();
      });
      await made.ready;
      return made;
    }
    return this.#idle.shift() ?? new Promise((taken) => this.#waiting.push(taken));
  }

  /** Whoever waits for a connection of those that were lost gets another one. */
  async #replace(): Promise<void> {
    const next = this.#waiting.shift();
    if (next) next(await this.take());
  }

  giveBack(connection: ServerConnection): void {
    connection.client = undefined;
    const next = this.#waiting.shift();
    if (next) next(connection);
    else this.#idle.push(connection);
  }

  close(): void {
    for (const { socket } of this.#all) socket.destroy();
  }
}

class ClientConnection {
  readonly #messages = new Messages(false);
  #pool: Pool | undefined;
  #server: ServerConnection | undefined;
  /** answers that are still to come before the connection is free */
  #owed = 0;
  #work: Promise<void> = Promise.resolve();
  #gone = false;

  constructor(
    private readonly socket: Socket,
    private readonly poolOf: (database: string) => Pool,
  ) {
    socket.on('data', (chunk) => {
      for (const message of this.#messages.of(chunk))
        this.#work = this.#work.then(() => this.#fromClient(message)).catch(() => this.lost());
    });
    socket.on('error', () => undefined).on('close', () => this.#leave());
  }

  async #fromClient(message: Buffer): Promise<void> {
    if (this.#gone) return;
    if (!this.#pool) return this.#login(message);
    if (typeOf(message) === 'X') return void this.socket.end();
    if (!this.#server) {
      this.#server = await this.#pool.take();
      this.#server.client = this;
      if (this.#gone) return this.#leave();
    }
    if ('QS'.includes(typeOf(message))) this.#owed++;
    this.#server.socket.write(message);
  }

  async #login(message: Buffer): Promise<void> {
    const code = message.readInt32BE(4);
    if (code === CANCEL_REQUEST) return void this.socket.end();
    if (code === SSL_REQUEST) return void this.socket.write('N');
    this.#messages.typed = true;
    const words = message.subarray(8).toString().split('\0');
    this.#pool = this.poolOf(words[words.indexOf('database') + 1]!);
    const server = await this.#pool.take();
    this.socket.write(server.greeting);
    this.#pool.giveBack(server);
  }

  fromServer(message: Buffer): void {
    this.socket.write(message);
    if (typeOf(message) !== 'Z' || --this.#owed > 0 || !message.equals(READY)) return;
    const server = this.#server!;
    this.#server = undefined;
    this.#pool!.giveBack(server);
  }

  /** The server's side is gone: nobody knows what of a transaction was done. */
  lost(): void {
    this.socket.destroy();
  }

  /** A transaction that its client has left is rolled back by the end of its connection. */
  #leave(): void {
    this.#gone = true;
    this.#server?.socket.destroy();
    this.#server = undefined;
  }
}
