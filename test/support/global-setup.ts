import type { TestProject } from 'vitest/node';
import { startCluster } from './postgres-cluster.js';

declare module 'vitest' {
  interface ProvidedContext {
    workflowTestPgUrl: string;
  }
}

/**
 * One PostgreSQL for the whole run: the server in TEST_DATABASE_URL (its role must be allowed to create databases), else a
 * cluster that lives as long as the run. Workers find it in WORKFLOW_TEST_PG_URL.
 */
export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const given = process.env.TEST_DATABASE_URL;
  const cluster = given ? undefined : await startCluster();
  const url = given ?? cluster!.url;
  project.provide('workflowTestPgUrl', url);
  process.env.WORKFLOW_TEST_PG_URL = url;
  return cluster && (() => cluster.dispose());
}
