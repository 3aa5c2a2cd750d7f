import type { Reporter, TestCase, TestModule } from 'vitest/node';

/** Names at the end of a run each test that passed at its second attempt only, with what failed at the first: one to look at. */
export default class SecondAttempts implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const flaky = modules.flatMap((module) =>
      [...module.children.allTests('passed')].filter((test) => test.diagnostic()?.flaky),
    );
    if (flaky.length === 0) return;
    console.error(
      `\n Passed at the second attempt only: ${flaky.length}\n\n${flaky.map(shown).join('\n\n')}\n`,
    );
  }
}

function shown(test: TestCase): string {
  const errors = test.result().errors ?? [];
  return ` FLAKY  ${test.module.relativeModuleId} > ${test.fullName}\n${errors.map(({ stack, message }) => stack ?? message).join('\n')}`;
}
