/** The saga sample: a trip that is taken, one whose hotel is full, and one that is cancelled after a kill. */
import assert from 'node:assert/strict';
import { startSample } from './sample.mjs';

const sample = await startSample('003-saga');
const book = (id, hotels) => sample.post('/trips', { id, traveller: 'ann', city: 'Rome', hotels });
const reaches = (id, status) =>
  sample.until(`trip ${id} ${status}`, async () => {
    const trip = await sample.get(`/trips/${id}`);
    return trip.status === status && trip;
  });
const booked = (id) =>
  sample.until(`trip ${id} booked`, async () => (await sample.get(`/trips/${id}`)).ledger.length === 3);
const BOOKED = ['flight booked', 'car booked', 'hotel booked'];

await Promise.all([
  book('taken', ['Grand', 'Central']),
  book('full', ['Grand']),
  book('cancelled', ['Central']),
]);

const full = await reaches('full', 'failed');
assert.equal(full.error, 'no room in Grand');
assert.deepEqual(full.ledger, [
  'flight booked',
  'car booked',
  'car cancelled',
  'flight cancelled',
  'ann told: no room in Grand',
]);

await Promise.all([booked('taken'), booked('cancelled')]);
await sample.kill();
await sample.start();
await sample.post('/trips/taken/confirmation', { by: 'ann' });
await sample.send('DELETE', '/trips/cancelled');

const cancelled = await reaches('cancelled', 'cancelled');
assert.deepEqual(cancelled.ledger, [...BOOKED, 'hotel cancelled', 'car cancelled', 'flight cancelled']);

const taken = await reaches('taken', 'completed');
assert.deepEqual(taken.itinerary, { flight: 'to Rome', car: 'in Rome', hotel: 'Central' });
// a trip that was taken is not undone any more
await sample.send('DELETE', '/trips/taken');
assert.deepEqual(await sample.get('/trips/taken'), { ...taken, ledger: BOOKED });
await assert.rejects(sample.get('/trips/unknown'), /404/);

console.log(JSON.stringify({ full, cancelled, taken }, null, 2));
await sample.stop();
