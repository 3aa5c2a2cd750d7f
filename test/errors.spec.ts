import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { WORKFLOW_ERRORS, WorkflowError, type WorkflowErrorCode } from '../lib/errors/index.js';

const sections = new Map(
  readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8')
    .split(/^## /m)
    .slice(1)
    .map((section) => [section.slice(0, section.indexOf('\n')).trim(), section]),
);
const codes = Object.keys(WORKFLOW_ERRORS) as WorkflowErrorCode[];

describe('docs/errors.md and the table of codes', () => {
  it('name the same codes, in the same order, each once', () => {
    expect([...sections.keys()]).toEqual(codes);
  });

  it.each(codes)('%s has a remedy, and a section with its status, what happened and what to do', (code) => {
    const { status, remedy } = WORKFLOW_ERRORS[code];
    expect(remedy).toMatch(/^\S.+\.$/);
    expect(sections.get(code)).toContain(`HTTP status ${status}.`);
    expect(sections.get(code)).toMatch(/^\*\*What happened\.\*\* \S.+\.$/m);
    expect(sections.get(code)).toMatch(/^\*\*What to do\.\*\* \S.+\.$/m);
  });
});

describe('WorkflowError', () => {
  it('says what happened, then what to do, then the code, and keeps the cause', () => {
    const cause = new Error('low');
    const error = new WorkflowError('WF_RUN_NOT_FOUND', 'There is no run r1', { cause });
    expect(error.message).toBe(
      'There is no run r1. Check the run id; `client.list()` shows the runs that exist. [WF_RUN_NOT_FOUND]',
    );
    expect(error).toMatchObject({ name: 'WorkflowError', code: 'WF_RUN_NOT_FOUND', status: 404, cause });
    expect(new WorkflowError('WF_NO_STEP', 'Really?').message).toContain('Really? Call currentStep()');
  });

  it('is recognised by its mark, also when another copy of the package made it', () => {
    const foreign = Object.assign(new Error('x'), {
      code: 'WF_NO_STEP',
      [Symbol.for('nestjs-workflow:error')]: true,
    });
    expect(WorkflowError.is(foreign)).toBe(true);
    expect(WorkflowError.is(foreign, 'WF_NO_STEP')).toBe(true);
    expect(WorkflowError.is(foreign, 'WF_TOO_LARGE')).toBe(false);
    for (const other of [new Error('x'), null, 'text', undefined])
      expect(WorkflowError.is(other)).toBe(false);
  });
});
