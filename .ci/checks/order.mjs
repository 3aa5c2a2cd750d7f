/** The order sample, from the order to its receipt. */
import assert from 'node:assert/strict';
import { startSample } from './sample.mjs';

const sample = await startSample('001-order');
const order = { id: '7', items: ['book'], total: 12, address: 'Rome' };
assert.deepEqual(await sample.post('/orders', order), { id: '7', created: true });
assert.deepEqual(await sample.post('/orders', order), { id: '7', created: false });
await sample.post('/orders/7/payment', { amount: 12 });
const done = await sample.until('an end', async () => {
  const run = await sample.get('/orders/7');
  return ['completed', 'failed', 'cancelled'].includes(run.status) && run;
});
assert.equal(done.status, 'completed', done.error);
assert.match(done.receipt.chargeId, /^charge-./);
assert.deepEqual(
  { ...done.receipt, chargeId: '' },
  { chargeId: '', parcelId: 'parcel-7', label: 'To: Rome' },
);
console.log(JSON.stringify(done));
await sample.stop();
