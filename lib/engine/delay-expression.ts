import jsep from 'jsep';

/** A checked expression: the number it gives for `retried`, which may be NaN or infinite. */
export type DelayExpression = (retried: number) => number;

/** An expression of this length says all that a delay needs; the parser is recursive, and deeper ones could end its stack. */
const MAX_LENGTH = 500;

const FUNCTIONS: ReadonlyMap<
  string,
  { readonly call: (...values: number[]) => number; readonly takes: 'any' | 1 | 2 }
> = new Map([
  ['pow', { call: Math.pow, takes: 2 }],
  ['sqrt', { call: Math.sqrt, takes: 1 }],
  ['abs', { call: Math.abs, takes: 1 }],
  ['exp', { call: Math.exp, takes: 1 }],
  ['floor', { call: Math.floor, takes: 1 }],
  ['ceil', { call: Math.ceil, takes: 1 }],
  ['round', { call: Math.round, takes: 1 }],
  ['min', { call: Math.min, takes: 'any' }],
  ['max', { call: Math.max, takes: 'any' }],
]);

const OPERATORS: ReadonlyMap<string, (a: number, b: number) => number> = new Map([
  ['+', (a, b) => a + b],
  ['-', (a, b) => a - b],
  ['*', (a, b) => a * b],
  ['/', (a, b) => a / b],
  ['%', (a, b) => a % b],
  ['**', (a, b) => a ** b],
]);

/** Why a text is no expression of a delay, to be put into the error of the option that holds it. */
export class DelayExpressionError extends Error {}

/** Expressions are asked for again at each replay; the bound is for texts that are put together at run time. */
const known = new Map<string, DelayExpression>();
const MAX_KNOWN = 1000;

/**
 * An expression as in Upstash Workflow: numbers, `retried`, `+ - * / % **`, unary minus, parentheses, and the functions
 * pow, sqrt, abs, exp, floor, ceil, round, min and max. The text is parsed and never executed: of what the parser knows
 * only these nodes are taken.
 * @throws DelayExpressionError for everything else
 */
export function delayExpression(text: string): DelayExpression {
  let expression = known.get(text);
  if (expression === undefined) {
    expression = compiled(text);
    if (known.size >= MAX_KNOWN) known.clear();
    known.set(text, expression);
  }
  return expression;
}

function compiled(text: string): DelayExpression {
  if (text.length > MAX_LENGTH) throw new DelayExpressionError(`it is longer than ${MAX_LENGTH} characters`);
  const commas = { expected: 0 };
  const expression = compile(parsed(text), commas);
  // the parser overlooks commas and semicolons at the ends, and takes spaces for commas between arguments
  if (text.includes(';') || text.split(',').length - 1 !== commas.expected) {
    throw new DelayExpressionError('commas stand between the arguments of a function, and nowhere else');
  }
  return expression;
}

function parsed(text: string): jsep.Expression {
  try {
    return jsep(text);
  } catch (error) {
    throw new DelayExpressionError((error as Error).message);
  }
}

function compile(expression: jsep.Expression, commas: { expected: number }): DelayExpression {
  const node = expression as jsep.CoreExpression;
  switch (node.type) {
    case 'Literal': {
      const { value, raw } = node;
      if (typeof value !== 'number' || !Number.isFinite(value)) return refuse(`${raw} is no number`);
      return () => value;
    }
    case 'Identifier':
      if (node.name !== 'retried')
        return refuse(`\`${node.name}\` is not known; the only name is \`retried\``);
      return (retried) => retried;
    case 'UnaryExpression': {
      if (node.operator !== '-') return refuse(`the operator \`${node.operator}\` is not allowed`);
      const argument = compile(node.argument, commas);
      return (retried) => -argument(retried);
    }
    case 'BinaryExpression': {
      const operator = OPERATORS.get(node.operator);
      if (!operator) return refuse(`the operator \`${node.operator}\` is not allowed`);
      // -2 ** 2 is 4 to this parser, -4 in mathematics, and an error in JavaScript
      if (node.operator === '**' && node.left.type === 'UnaryExpression') {
        return refuse('a minus before `**` can be read in two ways; write pow(…, …)');
      }
      const left = compile(node.left, commas);
      const right = compile(node.right, commas);
      return (retried) => operator(left(retried), right(retried));
    }
    case 'CallExpression':
      return compileCall(node, commas);
    default:
      return refuse(WRONG.get(node.type) ?? `${node.type} is not allowed`);
  }
}

function compileCall(node: jsep.CallExpression, commas: { expected: number }): DelayExpression {
  const { name } = node.callee as jsep.Identifier;
  const called = node.callee.type === 'Identifier' ? FUNCTIONS.get(name) : undefined;
  if (!called) return refuse(`only ${[...FUNCTIONS.keys()].join(', ')} can be called`);
  const given = node.arguments;
  if (called.takes === 'any' ? given.length === 0 : given.length !== called.takes) {
    return refuse(`\`${name}\` takes ${COUNTS[called.takes]}, not ${given.length}`);
  }
  commas.expected += given.length - 1;
  const values = given.map((one) => compile(one, commas));
  return (retried) => called.call(...values.map((value) => value(retried)));
}

const COUNTS = { 1: '1 argument', 2: '2 arguments', any: 'at least 1 argument' } as const;

const WRONG: ReadonlyMap<string, string> = new Map([
  ['Compound', 'it must be one expression'],
  ['SequenceExpression', 'parentheses must hold one expression'],
  ['MemberExpression', 'properties cannot be read'],
  ['ConditionalExpression', 'conditions are not allowed'],
]);

function refuse(why: string): never {
  throw new DelayExpressionError(why);
}
