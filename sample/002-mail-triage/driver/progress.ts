import { SingleBar } from 'cli-progress';

const LINE_EVERY_MS = 1_000;

/** On stderr: a bar on a terminal, else a line now and then. */
export class Progress {
  private readonly bar: SingleBar | undefined;
  private lastLine = 0;

  constructor(
    private readonly total: number,
    plain: boolean,
  ) {
    if (!plain && process.stderr.isTTY) {
      this.bar = new SingleBar({
        format: ' {bar} {value}/{total} mails  {steps} steps  {note}',
        hideCursor: true,
      });
      this.bar.start(total, 0, { steps: 0, note: '' });
    }
  }

  update(ended: number, steps: number): void {
    this.bar?.update(ended, { steps });
    if (this.bar || Date.now() - this.lastLine < LINE_EVERY_MS) return;
    this.lastLine = Date.now();
    console.error(`${ended}/${this.total} mails, ${steps} steps`);
  }

  note(text: string): void {
    if (this.bar) this.bar.update({ note: text });
    else console.error(text);
  }

  stop(): void {
    this.bar?.stop();
  }
}
