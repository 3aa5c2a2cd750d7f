import { parseArgs } from 'node:util';
import { CORPUS_SIZE } from '../corpus.js';

export const HELP = `Triages real e-mails with a durable workflow, and kills its own worker half-way.

  npm start -- [options]

  --mails N         how many mails, up to ${CORPUS_SIZE} (300)
  --transport T     http: each step in a signed call of its own; in-process: no HTTP (http)
  --json            the last line of stdout is one JSON object, instead of tables
  --help            this text

  DATABASE_URL=postgres://…   the journal goes there (embedded PGlite in a temporary folder)

The exit code is 0 only if all runs completed, a worker was killed, and nothing was lost, doubled or re-executed.
`;

export interface Options {
  mails: number;
  transport: 'http' | 'in-process';
  json: boolean;
  help: boolean;
}

/** @throws Error that says what is wrong with the arguments */
export function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      mails: { type: 'string', default: '300' },
      transport: { type: 'string', default: 'http' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const mails = Number(values.mails);
  if (!Number.isInteger(mails) || mails < 1 || mails > CORPUS_SIZE) {
    throw new Error(`--mails ${values.mails}: give a whole number from 1 to ${CORPUS_SIZE}`);
  }
  const { transport } = values;
  if (transport !== 'http' && transport !== 'in-process') {
    throw new Error(`--transport ${transport}: give http or in-process`);
  }
  return { mails, transport, json: values.json, help: values.help };
}
