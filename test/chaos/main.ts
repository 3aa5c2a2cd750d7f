import { chaos } from './chaos.js';
import { HELP, readOptions } from './options.js';
import { isGood, tableOf } from './report.js';

// `npm run chaos`
let options: ReturnType<typeof readOptions>;
try {
  options = readOptions(process.argv.slice(2));
} catch (error) {
  console.error(`${(error as Error).message}\n\n${HELP}`);
  process.exit(2);
}
if (options === 'help') {
  console.log(HELP);
  process.exit(0);
}
// the exit handlers take the server and the processes along
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

const { json, seed, runs, seconds, workers, transport } = options;
const say = (line: string): void => {
  const at = `${(performance.now() / 1000).toFixed(1).padStart(6)} s  `;
  (json ? console.error : console.log)(`${at}${line}`);
};
say(`seed ${seed}: ${runs} runs in ${seconds} s of fire, ${workers} processes, ${transport}`);
const report = await chaos(options, say);
const good = isGood(report, runs);
if (json) console.log(JSON.stringify(report));
else console.log(`\n${tableOf(report)}\n\n${good ? 'All is well.' : `Not well. Again: --seed ${seed}`}`);
process.exit(good ? 0 : 1);
