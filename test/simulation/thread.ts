import { parentPort, workerData } from 'node:worker_threads';
import { simulateBatch, type BatchOrder } from './batch.js';

// worlds replace setImmediate while they live: each thread has its own
parentPort!.postMessage(await simulateBatch(workerData as BatchOrder));
