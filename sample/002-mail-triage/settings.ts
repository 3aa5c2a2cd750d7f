import { join } from 'node:path';

/** What the driver gives to its worker, by environment variables. */
const folder = process.env.TRIAGE_FOLDER ?? '.mail-triage';

export const settings = {
  databaseUrl: process.env.DATABASE_URL,
  transport: process.env.TRIAGE_TRANSPORT === 'in-process' ? ('in-process' as const) : ('http' as const),
  /** of embedded PGlite, where no DATABASE_URL is given */
  databaseFolder: join(folder, 'database'),
  evidenceFile: join(folder, 'evidence.log'),
  quarantineFolder: join(folder, 'quarantine'),
};
