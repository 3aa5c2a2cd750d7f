import { appendFileSync } from 'node:fs';
import { currentStep } from 'nestjs-workflow';
import { settings } from './settings.js';

/**
 * The independent evidence: what was executed, written by the steps themselves, past the library and its tables.
 * One line is one write with O_APPEND: it is there once the call returns, also if the process is killed right after it,
 * and the order of the lines is the order of the events.
 */
export interface EvidenceLine {
  /** ms since 1970 */
  at: number;
  run: string;
  step: string;
  attempt: number;
  pid: number;
  /** of a step: `start`, then `done` or `failed`; `seen`: the driver has seen from outside that the run had come this far */
  outcome: 'start' | 'done' | 'failed' | 'seen';
}

export function writeEvidence(file: string, line: Omit<EvidenceLine, 'at' | 'pid'>): void {
  const { run, step, attempt, outcome } = line;
  appendFileSync(file, `${[Date.now(), run, step, attempt, process.pid, outcome].join('\t')}\n`);
}

export function parseEvidence(text: string): EvidenceLine {
  const [at, run = '', step = '', attempt, pid, outcome] = text.split('\t');
  return {
    at: Number(at),
    run,
    step,
    attempt: Number(attempt),
    pid: Number(pid),
    outcome: outcome as EvidenceLine['outcome'],
  };
}

/** Below `@Step()`: writes a line before and a line after each execution of the step. */
export function Recorded() {
  return (_proto: object, _method: string, descriptor: PropertyDescriptor): void => {
    const body: (...args: unknown[]) => Promise<unknown> = descriptor.value;
    descriptor.value = async function (this: unknown, ...args: unknown[]): Promise<unknown> {
      const { runId: run, step, attempt } = currentStep();
      const write = (outcome: EvidenceLine['outcome']) =>
        writeEvidence(settings.evidenceFile, { run, step, attempt, outcome });
      write('start');
      try {
        const result = await body.apply(this, args);
        write('done');
        return result;
      } catch (error) {
        write('failed');
        throw error;
      }
    };
  };
}
