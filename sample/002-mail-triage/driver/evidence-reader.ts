import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { parseEvidence, type EvidenceLine } from '../evidence.js';

/** Follows the evidence file while it grows. */
export class EvidenceReader {
  readonly lines: EvidenceLine[] = [];

  private readonly buffer = Buffer.alloc(1 << 20);
  private position = 0;
  private rest = '';

  constructor(private readonly file: string) {}

  /** The lines that have come since the last call. */
  read(): EvidenceLine[] {
    if (!existsSync(this.file)) return [];
    const from = this.lines.length;
    const fd = openSync(this.file, 'r');
    for (let size; (size = readSync(fd, this.buffer, 0, this.buffer.length, this.position)) > 0;) {
      this.position += size;
      const complete = (this.rest + this.buffer.toString('latin1', 0, size)).split('\n');
      this.rest = complete.pop()!;
      for (const line of complete) this.lines.push(parseEvidence(line));
    }
    closeSync(fd);
    return this.lines.slice(from);
  }
}
