import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Injectable } from '@nestjs/common';
import { Step, defineEvent } from 'nestjs-workflow';
import { mailPath } from '../corpus.js';
import { Recorded } from '../evidence.js';
import type { Mail } from '../mail.js';
import { settings } from '../settings.js';

/** What the moderator decides about one run. */
export const Moderated = defineEvent<{ release: boolean }>('moderated');

@Injectable()
export class Quarantine {
  /** Lays the mail where the moderator looks. Executed twice it does the same: a step may be, when its process is killed. */
  @Step()
  @Recorded()
  async hold(runId: string, mail: Mail): Promise<void> {
    mkdirSync(settings.quarantineFolder, { recursive: true });
    copyFileSync(mailPath(mail), join(settings.quarantineFolder, runId));
  }
}
