import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { Step, currentStep } from 'nestjs-workflow';
import { Recorded } from '../evidence.js';
import type { Findings } from '../mail.js';

/** Stands for a service far away: it takes its time, and the first call for about 15 % of the mails fails. */
@Injectable()
export class Reputation {
  @Step({ retries: 3, backoff: { initial: '100ms', max: '1s' } })
  @Recorded()
  async lookup(mailId: string, host: string): Promise<Findings> {
    const { attempt, signal } = currentStep();
    await delay(20, undefined, { signal });
    // depends on nothing but mail and attempt, so that the number of retries is the same in each session
    if (attempt === 1 && percentOf(mailId) < 15) throw new Error('503 reputation service is busy');
    const reasons = [
      ...(/\d{2}/.test(host) ? ['sender host with digits'] : []),
      ...(/\.(biz|info|ru|cn|kr|tw|br)$/.test(host) ? ['sender in a doubtful domain'] : []),
      ...(host.includes('.') ? [] : ['sender without a host']),
    ];
    return { points: reasons.length, reasons };
  }
}

export function percentOf(mailId: string): number {
  return createHash('sha256').update(mailId).digest().readUInt32BE() % 100;
}
