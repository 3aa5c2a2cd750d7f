import { appendFile, readFile } from 'node:fs/promises';
import { Injectable } from '@nestjs/common';
import { currentStep } from 'nestjs-workflow';

interface Line {
  trip: string;
  what: string;
  /** of the request that wrote the line */
  key: string;
}

/** What other companies have on their books about us: a file, for it outlives this process as they do. */
@Injectable()
export class Ledger {
  private readonly file = 'trips.log';

  /** Asked twice under one idempotency key it writes once: a step may be executed twice. */
  async write(trip: string, what: string): Promise<void> {
    const { idempotencyKey: key } = currentStep();
    if ((await this.lines()).some((line) => line.key === key)) return;
    await appendFile(this.file, `${JSON.stringify({ trip, what, key } satisfies Line)}\n`);
  }

  /** Cancels what was booked; bears that nothing was. */
  async cancel(trip: string, what: string): Promise<void> {
    if ((await this.of(trip)).includes(`${what} booked`)) await this.write(trip, `${what} cancelled`);
  }

  async of(trip: string): Promise<string[]> {
    return (await this.lines()).filter((line) => line.trip === trip).map(({ what }) => what);
  }

  private async lines(): Promise<Line[]> {
    const text = await readFile(this.file, 'utf8').catch(() => '');
    return text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Line);
  }
}
