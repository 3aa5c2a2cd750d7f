/** The approval sample: who may not answer changes nothing, who may is heard, also after a kill. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { startSample } from './sample.mjs';

const sample = await startSample('004-webhook-approval');
const YES = '{"approved":true}';
const NO = '{"approved":false}';
const sign = (body, secret = 'no secret') => createHmac('sha256', secret).update(body).digest('hex');
const answer = async (link, body, signature) => {
  const headers = { 'content-type': 'application/json', ...(signature && { 'x-signature': signature }) };
  return (await fetch(link, { method: 'POST', headers, body })).status;
};
const hand = async (id) => {
  await sample.post('/expenses', { id, by: `by-${id}`, boss: `boss-${id}`, amount: 12 });
  const mail = await sample.until(
    `the mail of ${id}`,
    async () => (await sample.get(`/mailbox/boss-${id}`))[0],
  );
  assert.equal(mail.subject, `by-${id} has spent 12`);
  // the same server, not by the name that the mail says
  return mail.link.replace('localhost', '127.0.0.1');
};
const decided = (id) =>
  sample.until(`a decision about ${id}`, async () => {
    const run = await sample.get(`/expenses/${id}`);
    return run.status === 'completed' && run.decision;
  });

const [link, other] = await Promise.all([hand('a'), hand('b')]);
assert.notEqual(link, other);

// all that follows says no: were any of it kept, the first answer of the run would be that
assert.equal(await answer(link, NO), 401);
assert.equal(await answer(link, NO, 'no hex'), 401);
assert.equal(await answer(link, NO, sign(NO, 'another secret')), 401);
assert.equal(await answer(link, NO, sign(YES)), 401);
for (const method of ['GET', 'DELETE']) {
  const refused = await fetch(`${link}?approved=true`, { method, headers: { 'x-signature': sign('') } });
  assert.equal(refused.status, 405);
  assert.match(refused.headers.get('allow'), /^POST\b/);
}
assert.equal((await fetch(link, { method: 'HEAD' })).status, 200);
assert.equal(await answer(`${link.slice(0, -1)}${link.endsWith('A') ? 'B' : 'A'}`, NO, sign(NO)), 404);
assert.deepEqual(await sample.get('/expenses/a'), { status: 'waiting' });

await sample.kill();
await sample.start();
assert.deepEqual(await sample.get('/expenses/a'), { status: 'waiting' });
assert.equal(await answer(link, NO, sign(NO, 'another secret')), 401);
assert.equal(await answer(link, YES, sign(YES)), 202);
assert.equal(await answer(other, NO, sign(NO)), 202);
assert.equal(await decided('a'), 'approved');
assert.equal(await decided('b'), 'rejected');
assert.deepEqual(await sample.get('/mailbox/by-a'), [{ to: 'by-a', subject: 'expense a: approved' }]);
assert.equal((await sample.get('/mailbox/boss-a')).length, 1);
assert.equal(await answer(link, NO, sign(NO)), 404);

console.log('approved by its signature alone, and after a kill');
await sample.stop();
