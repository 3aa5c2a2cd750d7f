import { lookup as systemLookup, type LookupAddress, type LookupOptions } from 'node:dns';
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { CallError } from '../engine/call.js';
import { shown } from '../engine/shown.js';
import { WorkflowError } from '../errors/index.js';

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Range = readonly [Address, number];

export interface AddressRules {
  /** CIDRs or addresses that are never called, whatever `allow` says */
  readonly deny?: readonly string[];
  /** CIDRs, addresses or host names that are called although the default denies them */
  readonly allow?: readonly string[];
}

/** As `dns.lookup` with `all`. */
export type Lookup = (
  host: string,
  options: LookupOptions & { all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

type Found = (error: Error | null, address: string | LookupAddress[], family?: number) => void;

/** NAT64 and IPv4-mapped: what is reached is the IPv4 address inside. */
const NAT64 = ipaddr.IPv6.parseCIDR('64:ff9b::/96');
/** All of IPv6 that is given out for the public internet; the rest is of the past, or for purposes of its own. */
const GLOBAL = ipaddr.IPv6.parseCIDR('2000::/3');

/**
 * Which addresses external calls may reach. By default public ones only: no loopback, private, link-local, shared or
 * multicast ones, and none that lead to these in disguise.
 */
export class AddressGuard {
  readonly #deny: readonly Range[];
  readonly #allow: readonly Range[];
  readonly #names: ReadonlySet<string>;
  readonly #lookup: Lookup;

  /** @throws WorkflowError WF_INVALID_OPTIONS for an entry that is no address, CIDR or (in `allow`) host name */
  constructor(rules: AddressRules = {}, lookup: Lookup = systemLookup) {
    const { deny = [], allow = [] } = rules;
    this.#deny = Array.from(
      listOf(deny, 'deny'),
      (entry) => rangeOf(entry) ?? refuse('deny', entry, 'a CIDR'),
    );
    const names = new Set<string>();
    this.#allow = Array.from(listOf(allow, 'allow'), (entry) => {
      const range = rangeOf(entry);
      if (range) return [range];
      names.add(nameOf(entry) ?? refuse('allow', entry, 'a CIDR or a host name'));
      return [];
    }).flat();
    this.#names = names;
    this.#lookup = lookup;
  }

  /**
   * @param address as a resolver or a URL writes it, without brackets
   * @param host the name it was resolved from, or itself
   */
  permits(address: string, host: string): boolean {
    const faces = facesOf(address);
    if (faces === undefined || matches(faces, this.#deny)) return false;
    return this.#names.has(canonical(host)) || matches(faces, this.#allow) || isPublic(faces[0]!);
  }

  /** Before a connection to a host that is an address: Node looks up nothing for these. @throws CallError WF_CALL_DENIED */
  checkLiteral(host: string): void {
    if (isIP(host) !== 0 && !this.permits(host, host)) throw denied(host);
  }

  /**
   * The look-up of a connection: what it gives is what is connected to, so that no name can have one address when it is
   * checked and another when it is used. Addresses that are denied are left out; when none is left, so is the connection.
   */
  readonly lookup = (host: string, options: LookupOptions, callback: Found): void => {
    this.#lookup(host, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, []);
      const permitted = addresses.filter(({ address }) => this.permits(address, host));
      const [first] = permitted;
      if (first === undefined) return callback(addresses.length > 0 ? denied(host) : notFound(host), []);
      if (options.all === true) callback(null, permitted);
      else callback(null, first.address, first.family);
    });
  };
}

function denied(host: string): CallError {
  return new CallError('WF_CALL_DENIED', `${host} is, or leads to, an address that calls may not reach`, {
    final: true,
  });
}

function notFound(host: string): Error {
  return Object.assign(new Error(`${host} has no address`), { code: 'ENOTFOUND' });
}

/** The address that is reached first, then the spellings under which a rule may name it. */
function facesOf(text: string): Address[] | undefined {
  if (!ipaddr.isValid(text)) return undefined;
  const address = ipaddr.parse(text.replace(/%.*$/, ''));
  if (address instanceof ipaddr.IPv4) return [address, address.toIPv4MappedAddress()];
  const inner = embedded(address);
  return inner ? [inner, inner.toIPv4MappedAddress(), address] : [address];
}

function embedded(address: ipaddr.IPv6): ipaddr.IPv4 | undefined {
  if (address.isIPv4MappedAddress()) return address.toIPv4Address();
  return address.match(NAT64) ? new ipaddr.IPv4(address.toByteArray().slice(12)) : undefined;
}

function isPublic(address: Address): boolean {
  if (address.range() !== 'unicast') return false;
  return address instanceof ipaddr.IPv4 || address.match(GLOBAL);
}

function matches(faces: readonly Address[], ranges: readonly Range[]): boolean {
  return ranges.some(([base, bits]) =>
    faces.some((face) => face.kind() === base.kind() && face.match(base, bits)),
  );
}

function listOf(value: unknown, name: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return refuse(name, value, 'a list of texts');
}

/** A CIDR or an address in its usual spelling; undefined for anything else, octal and hex numbers included. */
function rangeOf(entry: unknown): Range | undefined {
  if (typeof entry !== 'string') return undefined;
  const [text, bits, more] = entry.split('/');
  const family = isIP(text!);
  if (family === 0 || text!.includes('%') || more !== undefined) return undefined;
  const width = family === 4 ? 32 : 128;
  if (bits !== undefined && !(/^\d{1,3}$/.test(bits) && Number(bits) <= width)) return undefined;
  return [ipaddr.parse(text!), bits === undefined ? width : Number(bits)];
}

/** A host name as URLs have it; undefined for what is none, or is an address in an odd spelling. */
function nameOf(entry: unknown): string | undefined {
  if (typeof entry !== 'string' || !/^[\p{L}\p{M}\p{N}._-]+$/u.test(entry)) return undefined;
  const url = `http://${entry}/`;
  const host = URL.canParse(url) ? new URL(url).hostname : '';
  return host === '' || isIP(host) !== 0 ? undefined : canonical(host);
}

const canonical = (host: string): string => host.toLowerCase().replace(/\.$/, '');

function refuse(name: string, value: unknown, wanted: string): never {
  throw new WorkflowError(
    'WF_INVALID_OPTIONS',
    `Option \`http.calls.${name}\` has ${shown(value)}, which is not ${wanted}`,
  );
}
