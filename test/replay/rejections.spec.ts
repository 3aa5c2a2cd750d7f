import { afterAll, beforeAll, expect, it } from 'vitest';
import { Child, bundle } from '../support/child.js';

let program: Awaited<ReturnType<typeof bundle>>;
beforeAll(async () => {
  program = await bundle('test/replay/children/rejections.ts');
});
afterAll(() => program.remove());

interface Said {
  result: string;
  warnings: string[];
}

it('rejections of abandoned branches are attributed to the run, and never end the process', async () => {
  const child = Child.start(program.file, []);
  const { result, warnings } = await child.message<Said>();
  expect(result).toBe('winner');
  const attributed = warnings.filter((line) =>
    line.includes('of "abandons": a call that nobody awaits has failed'),
  );
  for (const one of ['wrapped', 'plain rejected', 'step rejected']) {
    expect(attributed.join('\n')).toContain(one);
  }
  expect(await child.ended).toBe(0);
});

it('a rejection outside of any run still ends the process, as without this library', async () => {
  const child = Child.start(program.file, ['foreign']);
  expect((await child.message<Said>()).result).toBe('winner');
  expect(await child.ended).toBe(1);
});
