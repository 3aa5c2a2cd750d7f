import { describe, expect, it } from 'vitest';
import { hopTo, MAX_REDIRECTS, redirected } from './call-redirect.js';

const headers = { 'content-type': 'text/plain', authorization: 'x', cookie: 'y', host: 'h', 'x-mine': 'z' };
const hop = hopTo(new URL('https://a.example/path/one?x=1'), 'POST', headers, Buffer.from('body'));

describe('redirected', () => {
  it('resolves the location against the URL', () => {
    const to = (location: string): string => redirected(hop, 307, location, 0)!.url.href;
    expect(to('two')).toBe('https://a.example/path/two');
    expect(to('/two')).toBe('https://a.example/two');
    expect(to('//b.example/two')).toBe('https://b.example/two');
    expect(to('?y=2')).toBe('https://a.example/path/one?y=2');
  });

  it('leaves out on another origin what is meant for the first: other host, port or scheme', () => {
    expect(redirected(hop, 307, '/two', 0)!.headers).toEqual(headers);
    for (const location of ['https://b.example/', 'https://a.example:444/', 'http://a.example/']) {
      expect(redirected(hop, 307, location, 0)!.headers).toEqual({
        'content-type': 'text/plain',
        'x-mine': 'z',
      });
    }
  });

  it('uses the user of the location where there is one', () => {
    const next = redirected(hop, 302, 'https://ann:p%ZZ@b.example/', 0)!;
    expect(next.url.href).toBe('https://b.example/');
    expect(next.headers).toEqual({
      authorization: `Basic ${Buffer.from('ann:p%ZZ').toString('base64')}`,
      'x-mine': 'z',
    });
  });

  it('leaves HEAD and GET as they are at 303', () => {
    for (const method of ['GET', 'HEAD']) {
      expect(redirected({ ...hop, method }, 303, '/', 0)).toMatchObject({ method, body: hop.body });
    }
    expect(redirected({ ...hop, method: 'DELETE' }, 303, '/', 0)).toMatchObject({
      method: 'GET',
      body: undefined,
    });
  });

  it('is for five statuses with a location', () => {
    for (const status of [200, 201, 300, 304, 305, 306, 404])
      expect(redirected(hop, status, '/', 0)).toBeUndefined();
    expect(redirected(hop, 302, undefined, 0)).toBeUndefined();
    expect(redirected(hop, 302, '/', MAX_REDIRECTS - 1)).toBeDefined();
    expect(() => redirected(hop, 302, '/', MAX_REDIRECTS)).toThrow('more than 10 times');
  });

  it('names neither user nor query in its errors', () => {
    const told = (location: string): string => {
      try {
        redirected(hop, 302, location, 0);
      } catch (error) {
        return (error as Error).message;
      }
      return '';
    };
    expect(told('javascript:alert(1)')).toContain(
      'POST https://a.example/path/one was redirected to a URL of the scheme',
    );
    expect(told('http://[')).toContain('https://a.example/path/one was redirected to what is no URL');
  });
});
