import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import pg from 'pg';
import type { DataSource } from 'typeorm';
import { expect, it } from 'vitest';
import { Database } from '../../lib/typeorm/database.js';

/** A message of the PostgreSQL protocol: type, length, body. */
function message(type: string, body: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length + 4);
  return Buffer.concat([Buffer.from(type), length, body]);
}

const AUTHENTICATED = message('R', Buffer.from([0, 0, 0, 0]));
const READY = message('Z', Buffer.from('I'));
const TERMINATED = message(
  'E',
  Buffer.from('SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0'),
);

it('a connection that is ended in the very packet that opens it fails its statement, and not the process', async () => {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    // what a server that shuts down may send at once: you are in, I am ready, it is over
    socket.once('data', () => socket.write(Buffer.concat([AUTHENTICATED, READY, TERMINATED])));
    socket.on('error', () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const pool = new pg.Pool({ host: '127.0.0.1', port, user: 'u', database: 'd', ssl: false });
  const database = new Database({ driver: { master: pool } } as unknown as DataSource);
  try {
    const asked = database.query('one', 'select 1', []);
    await once(pool, 'connect');
    for (const socket of sockets) socket.destroy();
    await expect(asked).rejects.toThrow(/terminat|not queryable/);
  } finally {
    await pool.end();
    for (const socket of sockets) socket.destroy();
    server.close();
  }
});
