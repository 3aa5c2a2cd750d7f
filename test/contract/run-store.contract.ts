import { afterAll, beforeAll, beforeEach, describe } from 'vitest';
import { arriving } from './arriving.js';
import { continuing } from './continuing.js';
import { ending } from './ending.js';
import { flowing } from './flowing.js';
import { journaling } from './journaling.js';
import { leasing } from './leasing.js';
import { owning } from './owning.js';
import { Bench, type StoreSetup, type StoreUnderTest } from './support.js';
import { singletons } from './singletons.js';
import { triggering } from './triggering.js';
import { versions } from './versions.js';
import { webhooks } from './webhooks.js';

/** What every RunStore must hold, whatever it stores in. */
export function runStoreContract(setup: StoreSetup): void {
  let under: StoreUnderTest;
  let bench: Bench;
  beforeAll(async () => {
    under = await setup();
  });
  afterAll(() => under?.dispose());
  beforeEach(() => {
    bench = new Bench(under);
  });
  const current = (): Bench => bench;
  describe('trigger', () => {
    triggering(current);
  });
  describe('claim, release, adopt, beat, sweep', () => {
    leasing(current);
  });
  describe('load, commit, answer', () => {
    journaling(current);
  });
  describe('flow control, priority', () => {
    flowing(current);
  });
  describe('singletons', () => {
    singletons(current);
  });
  describe('versions, stuck, resume', () => {
    versions(current);
  });
  describe('notify, kept events, waiters', () => {
    arriving(current);
  });
  describe('wake-and-own', () => {
    owning(current);
  });
  describe('webhooks and their calls', () => {
    webhooks(current);
  });
  describe('cancel, find, list, journal, ended', () => {
    ending(current);
  });
  describe('continued, compensations, children', () => {
    continuing(current);
  });
}
