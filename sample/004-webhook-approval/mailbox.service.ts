import { appendFile, readFile } from 'node:fs/promises';
import { Injectable } from '@nestjs/common';
import { Step, currentStep } from 'nestjs-workflow';

export interface Mail {
  to: string;
  subject: string;
  link?: string;
}

interface Line {
  id: string;
  mail: Mail;
}

/** A mail server in a file. */
@Injectable()
export class Mailbox {
  private readonly file = 'mails.log';

  /** Sent again after a crash it has the id that it had before: a mailbox shows it once. */
  @Step({ retries: 10 })
  async send(mail: Mail): Promise<void> {
    await appendFile(
      this.file,
      `${JSON.stringify({ id: currentStep().idempotencyKey, mail } satisfies Line)}\n`,
    );
  }

  async of(address: string): Promise<Mail[]> {
    const text = await readFile(this.file, 'utf8').catch(() => '');
    const sent = new Map<string, Mail>();
    for (const line of text.split('\n').filter(Boolean)) {
      const { id, mail } = JSON.parse(line) as Line;
      sent.set(id, mail);
    }
    return [...sent.values()].filter(({ to }) => to === address);
  }
}
