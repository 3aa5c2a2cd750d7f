import { describe, expect, it } from 'vitest';
import { HELP, isByDefault, PEERS, readOptions } from '../../bench/options.js';
import { WORKLOADS } from '../../bench/workloads/index.js';

describe('the options of npm run bench', () => {
  it('have defaults: everything, the best mode of each, three runs', () => {
    expect(readOptions([])).toEqual({
      peers: [...PEERS],
      work: Object.keys(WORKLOADS),
      set: {},
      quick: false,
      json: false,
      markdown: false,
      add: false,
      out: 'bench/results/latest.json',
      patience: 40,
    });
  });

  it('are taken as given', () => {
    const text =
      '--peers dbos,rawpg --modes default,named --work w1,payload-1k --runs 5 --set n=500,cap=1e3 --out a.json --json';
    expect(() => readOptions(text.split(' '))).toThrow('--set takes NAME=NUMBER, got "cap=1e3"');
    expect(readOptions(text.replace('1e3', '1000').split(' '))).toMatchObject({
      peers: ['dbos', 'rawpg'],
      modes: ['default', 'named'],
      work: ['w1', 'payload-1k'],
      runs: 5,
      set: { n: 500, cap: 1000 },
      out: 'a.json',
      json: true,
    });
    expect(readOptions(['--from', 'x.json', '--markdown', '--patience', '0'])).toMatchObject({
      from: 'x.json',
      markdown: true,
      patience: 0,
    });
    expect(readOptions(['--work', 'nothing', '--help'])).toBe('help');
  });

  it.each([
    [['--peers', 'temporal'], '--peers knows nestjs-workflow, dbos,'],
    [['--work', 'w1,'], '--work knows w1, w1lat,'],
    [['--runs', '0'], '--runs must be a whole number from 1 on, got "0"'],
    [['--runs', ''], '--runs must be a whole number from 1 on, got ""'],
    [['--runs', '1.5'], '--runs must be a whole number from 1 on, got "1.5"'],
    [['--patience', '-1'], 'argument'],
    [['--set', 'n'], '--set takes NAME=NUMBER, got "n"'],
    [['--quick', '--from', 'x'], '--quick measures, --from does not'],
    [['--json', '--markdown'], '--json or --markdown, not both'],
    [['--fast'], "Unknown option '--fast'"],
    [['w1'], 'Unexpected argument'],
  ])('%j are refused', (args, message) => {
    expect(() => readOptions(args)).toThrow(message);
  });

  it('are all in the help', () => {
    for (const name of [...PEERS, ...Object.keys(WORKLOADS)]) expect(HELP).toContain(name);
  });

  it('compare each peer in the setting in which it is best', () => {
    expect(isByDefault('dbos', 'default')).toBe(true);
    expect(isByDefault('openworkflow', 'default')).toBe(false);
    expect(isByDefault('openworkflow', 'tuned')).toBe(true);
    expect(isByDefault('rawpg', 'naive')).toBe(false);
  });
});
