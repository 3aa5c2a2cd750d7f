import { openWorkflowDataSource } from '../../../lib/typeorm/data-source.js';
import { silentLogger } from '../../support/silent-logger.js';

// One replica: says that it is there, waits for the start, boots, tells what happened.
const [url] = process.argv.slice(2);
process.once('message', () => {
  const lines: string[] = [];
  openWorkflowDataSource({
    database: { url: url! },
    logger: { ...silentLogger, log: (line: unknown) => void lines.push(String(line)) },
  })
    .then((source) => source.destroy())
    .then(
      () => process.send!({ ok: true, migrated: lines.length > 0 }),
      (error: Error) => process.send!({ ok: false, error: error.stack }),
    )
    .finally(() => process.disconnect());
});
process.send!('ready');
