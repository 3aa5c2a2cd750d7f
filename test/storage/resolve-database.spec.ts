import { inspect } from 'node:util';
import { DataSource } from 'typeorm';
import { describe, expect, it } from 'vitest';
import { resolveDatabase } from '../../lib/typeorm/resolve-database.js';

describe('which database', () => {
  const application = new DataSource({ type: 'postgres', url: 'postgres://app@app-host/app' });

  it.each([
    [
      'a url before the application',
      { url: 'postgres://u@own/db' },
      application,
      { kind: 'server', origin: 'url', options: { url: 'postgres://u@own/db' } },
    ],
    [
      'a named DataSource',
      { dataSource: 'reports' },
      application,
      { kind: 'server', origin: 'application', options: application.options },
    ],
    [
      'a folder before the application',
      { embedded: 'here' },
      application,
      { kind: 'embedded', where: 'here', byDefault: false },
    ],
    [
      'full options before the application',
      { type: 'postgres' as const, host: 'x' },
      application,
      { kind: 'server', origin: 'options', options: { host: 'x' } },
    ],
    [
      "the application's DataSource",
      undefined,
      application,
      { kind: 'server', origin: 'application', options: application.options },
    ],
    ['embedded at last', undefined, undefined, { kind: 'embedded', where: '.workflow', byDefault: true }],
  ])('is %s', (_title, given, app, expected) => {
    expect(resolveDatabase(given, app, 'test')).toMatchObject(expected);
  });

  it('is never embedded in production unless that was said', () => {
    expect(() => resolveDatabase(undefined, undefined, 'production')).toThrow(
      expect.objectContaining({
        code: 'WF_EMBEDDED_IN_PRODUCTION',
        message: `No database is configured, and NODE_ENV is "production". Configure \`database: { url }\` or a TypeORM DataSource, or say \`database: { embedded: 'folder' }\` if this is meant. [WF_EMBEDDED_IN_PRODUCTION]`,
      }),
    );
    expect(resolveDatabase({ embedded: 'data' }, undefined, 'production')).toMatchObject({ where: 'data' });
    expect(resolveDatabase(undefined, application, 'production')).toMatchObject({ kind: 'server' });
  });

  const mysql = { options: { type: 'mysql' } } as unknown as DataSource;
  it.each([
    [
      'the application on another database',
      undefined,
      mysql,
      'The application\'s DataSource is of type "mysql".',
    ],
    [
      'options of CockroachDB',
      { type: 'cockroachdb' as const, timeTravelQueries: false },
      undefined,
      '`database` is of type "cockroachdb".',
    ],
    [
      'options of Aurora',
      { type: 'aurora-postgres' as const } as never,
      undefined,
      '`database` is of type "aurora-postgres".',
    ],
    [
      'a url of another database',
      { url: 'mysql://root:secret@h/db' },
      undefined,
      '`database.url` is of type "mysql".',
    ],
  ])('refuses %s', (_title, given, app, message) => {
    expect(() => resolveDatabase(given, app, 'test')).toThrow(
      expect.objectContaining({
        code: 'WF_DATABASE_NOT_POSTGRES',
        message: `${message} Give the module a PostgreSQL of its own: \`database: { url: 'postgres://…' }\`. [WF_DATABASE_NOT_POSTGRES]`,
      }),
    );
  });

  it.each([
    [
      'a name that no DataSource has',
      { dataSource: 'reports' },
      'There is no TypeORM DataSource named "reports".',
    ],
    ['an empty folder', { embedded: '' }, "`database` needs a folder or 'memory' in `embedded`;"],
    ['an empty object', {}, '`database` names no database;'],
    ['a text', 'postgres://u:secret@h/db', '`database` is not an object;'],
    ['an empty url', { url: '' }, '`database.url` is not a text;'],
    ['a url without a scheme', { url: 'user:secret@host/db' }, '`database.url` cannot be read as'],
    ['a raw / in the password', { url: 'postgres://u:12/secret@h/db' }, '`database.url` cannot be read as'],
    ['a raw # in the password', { url: 'postgres://u:12#secret@h/db' }, '`database.url` cannot be read as'],
    ['a raw ? in the password', { url: 'postgres://u:12?secret@h/db' }, '`database.url` cannot be read as'],
    ['a raw % in the password', { url: 'postgres://u:100%secret@h/db' }, '`database.url` cannot be read as'],
  ])('refuses %s, without showing a password', (_title, given, message) => {
    let error: unknown;
    try {
      resolveDatabase(given as never, undefined, 'test');
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: 'WF_INVALID_OPTIONS', message: expect.stringContaining(message) });
    expect(inspect(error)).not.toContain('secret');
  });
});
