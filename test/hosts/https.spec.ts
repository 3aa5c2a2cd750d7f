import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { selfSigned } from '../support/certificate.js';
import { bundle, Child } from '../support/child.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';
import { ADAPTER_NAMES } from './support.js';

/** `http.url` by https: there the certificate counts, as anybody may stand at that address. */
describe.each(ADAPTER_NAMES)('a configured https URL, on %s', (adapter) => {
  let db: TestDatabase;
  let program: Awaited<ReturnType<typeof bundle>>;
  const folder = mkdtempSync(join(tmpdir(), 'wf-https-'));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  let child: Child | undefined;

  beforeAll(async () => {
    const made = selfSigned();
    writeFileSync(key, made.key);
    writeFileSync(cert, made.cert);
    [db, program] = await Promise.all([createPostgres(), bundle('test/hosts/children/https.ts')]);
  });
  afterEach(() => child?.kill());
  afterAll(async () => {
    rmSync(folder, { recursive: true });
    program?.remove();
    await db?.dispose();
  });

  const start = (env: NodeJS.ProcessEnv): Child =>
    (child = Child.start(program.file, [adapter, db.url!, key, cert], env));
  type Told = { readonly result?: string; readonly error?: string; readonly warning?: string };

  it('works with an authority of its own, given to Node as such', async () => {
    const told = await start({ NODE_EXTRA_CA_CERTS: cert }).message<Told>();
    expect(told).toEqual({ result: `sold ${adapter}` });
  });

  it('is not used with a certificate that nobody vouches for: nothing is claimed', async () => {
    const { error } = await start({ NODE_EXTRA_CA_CERTS: '' }).message<Told>();
    expect(error).toMatch(
      /Nothing is claimed: A ping to https:.*self-signed certificate.*WF_CALLBACK_UNREACHABLE/s,
    );
  });
});
