import { CallError, shownUrl } from '../engine/call.js';

/** One request of a call: the first, or one to which a redirect has led. */
export interface Hop {
  readonly url: URL;
  readonly method: string;
  /** names in lower case */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | undefined;
}

export const MAX_REDIRECTS = 10;

const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];
/** Meant for one host only. */
const SECRETS: readonly string[] = ['authorization', 'cookie', 'proxy-authorization', 'host'];
/** They say what the body is. */
const OF_BODY: readonly string[] = [
  'content-type',
  'content-length',
  'content-encoding',
  'content-language',
  'content-location',
];

/** A hop whose URL holds no user and password: they become the header that they stand for, unless there is one. */
export function hopTo(url: URL, method: string, headers: Hop['headers'], body: Buffer | undefined): Hop {
  if (url.username === '' && url.password === '') return { url, method, headers, body };
  const bare = new URL(url);
  bare.username = bare.password = '';
  const pair = `${unescaped(url.username)}:${unescaped(url.password)}`;
  const authorization = `Basic ${Buffer.from(pair).toString('base64')}`;
  return { url: bare, method, headers: { authorization, ...headers }, body };
}

/**
 * The request that a response asks for, as `fetch` makes it: 303, and 301 or 302 after a POST, become a GET without the body.
 * On another origin the headers that are meant for the first one are left out.
 * @param made redirects that were followed so far
 * @returns undefined when the response is none that is followed
 * @throws CallError, final: too many redirects, or not to an http or https URL
 */
export function redirected(
  hop: Hop,
  status: number,
  location: string | undefined,
  made: number,
): Hop | undefined {
  if (!REDIRECTS.includes(status) || location === undefined) return undefined;
  const from = `${hop.method} ${shownUrl(hop.url.href)}`;
  const refuse = (code: 'WF_CALL_FAILED' | 'WF_CALL_DENIED', why: string): CallError =>
    new CallError(code, `${from} ${why}`, { final: true });
  if (made >= MAX_REDIRECTS)
    throw refuse('WF_CALL_FAILED', `was redirected more than ${MAX_REDIRECTS} times`);
  if (!URL.canParse(location, hop.url.href))
    throw refuse('WF_CALL_FAILED', 'was redirected to what is no URL');
  const url = new URL(location, hop.url);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw refuse('WF_CALL_DENIED', `was redirected to a URL of the scheme ${url.protocol}`);
  }
  const get =
    status === 303 ? hop.method !== 'GET' && hop.method !== 'HEAD' : status <= 302 && hop.method === 'POST';
  const dropped = [...(get ? OF_BODY : []), ...(url.origin === hop.url.origin ? [] : SECRETS)];
  const headers = Object.fromEntries(Object.entries(hop.headers).filter(([name]) => !dropped.includes(name)));
  return hopTo(url, get ? 'GET' : hop.method, headers, get ? undefined : hop.body);
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
