import { randomUUID } from 'node:crypto';
import { Chance } from '../ports/index.js';

export class SystemChance extends Chance {
  fraction(): number {
    return Math.random();
  }

  uuid(): string {
    return randomUUID();
  }
}
