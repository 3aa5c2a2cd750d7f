import { createContext, runInContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { delayExpression, DelayExpressionError } from './delay-expression.js';

const value = (text: string, retried = 0): number => delayExpression(text)(retried);

describe('delayExpression', () => {
  it.each<[string, number[]]>([
    ['pow(2, retried) * 1000', [1000, 2000, 4000]],
    ['1000 * (1 + retried)', [1000, 2000, 3000]],
    ['max(500, min(retried * 400, 700))', [500, 500, 700]],
    ['round(exp(retried) * 10) % 7', [3, 6, 4]],
    ['floor(7.9 / 2) + ceil(retried / 2) + sqrt(16) + abs(-retried)', [7, 9, 10]],
    ['2 ** 3 ** retried', [2, 8, 512]],
    ['10 - -retried - 1', [9, 10, 11]],
    ['min(retried)', [0, 1, 2]],
    ['1e3', [1000, 1000, 1000]],
    ['.5 * 4', [2, 2, 2]],
    ['pow (2,\n\tretried)', [1, 2, 4]],
  ])('%s', (text, expected) => {
    expect([0, 1, 2].map((retried) => value(text, retried))).toEqual(expected);
  });

  it('gives what arithmetic gives, also when that is no delay', () => {
    expect(value('0 / retried')).toBeNaN();
    expect(value('1 / retried')).toBe(Infinity);
    expect(value('sqrt(-1)')).toBeNaN();
  });

  it.each<[string, string]>([
    ['', 'it must be one expression'],
    ['1 retried', 'it must be one expression'],
    ['(1, retried)', 'parentheses must hold one expression'],
    ['retried *', 'Expected expression after * at character 9'],
    ['pow(2, retried', 'Expected ) at character 14'],
    ['pow(2)', '`pow` takes 2 arguments, not 1'],
    ['sqrt(1, retried)', '`sqrt` takes 1 argument, not 2'],
    ['max()', '`max` takes at least 1 argument, not 0'],
    ['retries', '`retries` is not known; the only name is `retried`'],
    ['log(retried)', 'only pow, sqrt, abs, exp, floor, ceil, round, min, max can be called'],
    ['constructor(1)', 'can be called'],
    ['retried()', 'can be called'],
    ['pow.call(1, 2)', 'can be called'],
    ['pow(1, 2)(3)', 'can be called'],
    ['Math.pow(2, retried)', 'can be called'],
    ['retried.constructor', 'properties cannot be read'],
    ["retried['constructor']", 'properties cannot be read'],
    ["'1' + retried", "'1' is no number"],
    ['true', 'true is no number'],
    ['1e999', '1e999 is no number'],
    ['this', 'ThisExpression is not allowed'],
    ['[retried]', 'ArrayExpression is not allowed'],
    ['retried ? 1 : 2', 'conditions are not allowed'],
    ['retried > 1', 'the operator `>` is not allowed'],
    ['!retried', 'the operator `!` is not allowed'],
    ['+retried', 'the operator `+` is not allowed'],
    ['-2 ** retried', 'a minus before `**` can be read in two ways'],
    ['retried = 1', 'Unexpected "="'],
    ['`${retried}`', 'Unexpected "`"'],
    ['retried;', 'commas stand between the arguments of a function'],
    ['retried,', 'commas stand between'],
    [',retried', 'commas stand between'],
    ['(retried,)', 'commas stand between'],
    ['pow(2 retried)', 'commas stand between'],
    ['pow(2(3))', 'commas stand between'],
    [`${'('.repeat(250)}1${')'.repeat(250)}`, 'longer than 500 characters'],
  ])('%j is refused', (text, why) => {
    expect(() => delayExpression(text)).toThrow(DelayExpressionError);
    expect(() => delayExpression(text)).toThrow(why);
  });

  it('takes as many parentheses as fit', () => {
    expect(value(`${'('.repeat(249)}7${')'.repeat(249)}`)).toBe(7);
  });

  it('is read once, however often it is asked for, and forgets texts that are put together at run time', () => {
    expect(delayExpression('retried + 1')).toBe(delayExpression('retried + 1'));
    const before = delayExpression('retried + 2');
    for (let i = 0; i < 1000; i++) delayExpression(`retried * ${i}`);
    expect(delayExpression('retried + 2')).not.toBe(before);
    expect(delayExpression('retried + 2')(5)).toBe(7);
  });

  it('of any text throws a DelayExpressionError or gives numbers, and executes nothing', () => {
    const words = fc.constantFrom(
      ...['retried', 'pow', 'sqrt', 'min', 'globalThis', 'fired', 'constructor', '__proto__', 'this', 'true'],
      ...[
        '(',
        ')',
        '[',
        ']',
        '.',
        ',',
        ';',
        '?',
        ':',
        '=',
        '=>',
        '`',
        "'",
        '"',
        '\\',
        ' ',
        '{',
        '}',
        '0',
        '7',
        '1e9',
      ],
      ...['+', '-', '*', '/', '%', '**', '!', '~', '&&', '??', '?.', 'new', 'import', 'return'],
    );
    let executed = 0;
    Object.defineProperty(globalThis, 'fired', { configurable: true, get: () => ++executed });
    try {
      fc.assert(
        fc.property(
          fc.oneof(
            fc.string({ unit: 'binary' }),
            fc.array(words).map((all) => all.join('')),
          ),
          fc.nat(100),
          (text, retried) => {
            let expression;
            try {
              expression = delayExpression(text);
            } catch (error) {
              expect(error).toBeInstanceOf(DelayExpressionError);
              return;
            }
            expect(typeof expression(retried)).toBe('number');
          },
        ),
        { numRuns: 3000 },
      );
    } finally {
      Reflect.deleteProperty(globalThis, 'fired');
    }
    expect(executed).toBe(0);
  });

  it('gives what JavaScript gives for the same text', () => {
    const { expression } = fc.letrec<{ expression: string }>((tie) => ({
      expression: fc.oneof(
        { maxDepth: 5, withCrossShrink: true },
        fc.constant('retried'),
        fc.nat(1000).map(String),
        fc
          .tuple(tie('expression'), fc.constantFrom('+', '-', '*', '/', '%'), tie('expression'))
          .map(([a, operator, b]) => `${a} ${operator} ${b}`),
        fc.tuple(tie('expression'), tie('expression')).map(([a, b]) => `(${a}) ** (${b})`),
        tie('expression').map((a) => `(${a})`),
        tie('expression').map((a) => `-(${a})`),
        fc
          .tuple(fc.constantFrom('pow', 'min', 'max'), tie('expression'), tie('expression'))
          .map(([name, a, b]) => `${name}(${a}, ${b})`),
        fc
          .tuple(fc.constantFrom('sqrt', 'abs', 'exp', 'floor', 'ceil', 'round'), tie('expression'))
          .map(([name, a]) => `${name}(${a})`),
      ),
    }));
    // the other reader of the same grammar
    const { pow, min, max, sqrt, abs, exp, floor, ceil, round } = Math;
    const theirs = createContext({ pow, min, max, sqrt, abs, exp, floor, ceil, round, retried: 0 });
    fc.assert(
      fc.property(
        expression.filter((text) => text.length <= 500),
        fc.nat(20),
        (text, retried) => {
          let ours;
          try {
            ours = value(text, retried);
          } catch (error) {
            // the one thing that is refused on purpose
            expect((error as Error).message).toContain('a minus before `**`');
            return;
          }
          theirs['retried'] = retried;
          expect(ours).toBe(runInContext(text, theirs));
        },
      ),
      { numRuns: 1000 },
    );
  });
});
