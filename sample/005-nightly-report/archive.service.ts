import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Injectable } from '@nestjs/common';
import { Step } from 'nestjs-workflow';
import type { Statement } from './report.js';

/** Where statements are kept, one file each. */
@Injectable()
export class ArchiveService {
  /** Executed again after a crash it writes the same under the same name. */
  @Step()
  async store(day: string, statement: Statement): Promise<void> {
    const folder = join('statements', day);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, `${statement.customer}.json`), JSON.stringify(statement));
  }
}
