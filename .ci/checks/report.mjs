/** The report sample: half-way it is killed and started again, and still each of 500 customers is counted once. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startSample } from './sample.mjs';

const sample = await startSample('005-nightly-report');
const { nextAt } = await sample.get('/reports');
const night = new Intl.DateTimeFormat('en-GB', {
  timeZone: 'Europe/Berlin',
  hour: '2-digit',
  minute: '2-digit',
});
assert.equal(night.format(new Date(nextAt)), '02:30');

const { id } = await sample.post('/reports');
const look = () => sample.get(`/reports/${id}`);
// by what is written: what the report has heard of comes in bursts
const written = () => {
  const folder = join(sample.folder, 'statements');
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true }).filter((file) => file.endsWith('.json'));
};
await sample.until('a third of the statements', () => written().length >= 160);
const before = await look();
await sample.kill();
assert.ok(written().length < 450, `${written().length} statements were written before the kill`);
await sample.start();
const after = await look();
assert.ok(after.progress.done >= before.progress.done, 'what was done is still done');

const { report, progress } = await sample.until('the report', async () => {
  const seen = await look();
  assert.notEqual(seen.status, 'failed');
  return seen.status === 'completed' && seen;
});
assert.deepEqual(progress, { done: 500, of: 500 });
assert.equal(report.customers, 500);
assert.deepEqual(report.failed, []);
assert.ok(report.closed.length > 0 && report.closed.length < 30, `${report.closed.length} have left`);

// the books of the archive say the same
const statements = written().map((file) =>
  JSON.parse(readFileSync(join(sample.folder, 'statements', file), 'utf8')),
);
assert.equal(report.statements, statements.length);
assert.equal(
  report.turnover,
  statements.reduce((sum, { turnover }) => sum + turnover, 0),
);
const all = [...statements.map(({ customer }) => customer), ...report.closed].toSorted();
assert.equal(all.length, 500);
assert.equal(new Set(all).size, 500);

console.log(JSON.stringify(report));
await sample.stop();
