import { describe, expect, it } from 'vitest';
import { WorkflowError } from '../errors/index.js';
import {
  CallError,
  decideCall,
  shownUrl,
  withIdempotencyKey,
  type CallRequest,
  type CallResponse,
} from './call.js';
import { toFailure } from './failure.js';
import { DEFAULT_RETRY } from './retry.js';

const request: CallRequest = {
  url: 'https://ann:pass@api.example/v1/charges?key=secret',
  method: 'POST',
  headers: { accept: 'application/json' },
  body: { encoding: 'base64', data: 'AAE=' },
  timeoutMs: 1000,
  throwOnError: true,
  redirect: 'follow',
  retry: DEFAULT_RETRY,
};

describe('a stored call', () => {
  it('is shown without user, password and query, and not at any length', () => {
    expect(shownUrl(request.url)).toBe('https://api.example/v1/charges');
    expect(shownUrl(`https://x.example/${'y'.repeat(300)}`)).toBe(`https://x.example/${'y'.repeat(199)}…`);
    expect(shownUrl('http://ann:pass@')).toBe('what is no URL');
  });
});

describe('withIdempotencyKey', () => {
  it('adds a header that any server can read', () => {
    expect(withIdempotencyKey(request, 'r1/7/charge#2').headers).toEqual({
      accept: 'application/json',
      'idempotency-key': 'r1/7/charge#2',
    });
    expect(withIdempotencyKey(request, 'r 1/ü\r\n/😀\ud800').headers['idempotency-key']).toBe(
      'r%201/%C3%BC%0D%0A/%F0%9F%98%80%EF%BF%BD',
    );
  });

  it('leaves the one that the user has given', () => {
    const own = { ...request, headers: { 'idempotency-key': 'mine' } };
    expect(withIdempotencyKey(own, 'r1/7/charge')).toEqual(own);
  });
});

describe('decideCall', () => {
  const answered = (status: number, body?: unknown): CallResponse => ({ status, headers: {}, body });
  const failureOf = (response: CallResponse, retryAfterMs?: number) => {
    const outcome = decideCall(request, response, retryAfterMs);
    return outcome.ok ? undefined : toFailure(outcome.error);
  };

  it('takes any status for a value, unless the call says otherwise', () => {
    const response = answered(500);
    expect(decideCall({ ...request, throwOnError: false }, response)).toEqual({ ok: true, value: response });
    for (const status of [200, 204, 299]) expect(failureOf(answered(status))).toBeUndefined();
  });

  it.each([408, 425, 429, 500, 501, 503, 599])('%i is tried again, when the server says', (status) => {
    expect(failureOf(answered(status))).not.toHaveProperty('retryable');
    expect(failureOf(answered(status))).not.toHaveProperty('retryAfterMs');
    expect(failureOf(answered(status), 5000)).toMatchObject({ code: 'WF_CALL_STATUS', retryAfterMs: 5000 });
  });

  it.each([199, 300, 302, 304, 400, 401, 404, 409, 426, 499])('%i is final', (status) => {
    const failure = failureOf(answered(status), 5000);
    expect(failure).toMatchObject({ name: 'CallError', retryable: false, data: { status } });
    expect(failure).not.toHaveProperty('retryAfterMs');
  });

  it('says where, without secrets, and keeps a body that is no novel', () => {
    const failure = failureOf(answered(404, { error: 'no such charge' }));
    expect(failure!.message).toContain('POST https://api.example/v1/charges was answered 404. ');
    expect(JSON.stringify(failure)).not.toMatch(/ann|pass|secret/);
    expect(failure!.data).toEqual({ status: 404, body: { error: 'no such charge' } });
    expect(failureOf(answered(404, 'x'.repeat(4094)))!.data).toEqual({ status: 404, body: 'x'.repeat(4094) });
    for (const body of ['x'.repeat(4095), Buffer.from('x'), undefined]) {
      expect(failureOf(answered(404, body))!.data).toEqual({ status: 404 });
    }
  });
});

describe('CallError', () => {
  it('is an error of this library, and keeps its cause', () => {
    const cause = new Error('low');
    const error = new CallError('WF_CALL_FAILED', 'GET x got no response', { cause });
    expect(WorkflowError.is(error, 'WF_CALL_FAILED')).toBe(true);
    expect(error).toMatchObject({ cause, status: 502 });
    expect(toFailure(error)).not.toHaveProperty('retryable');
    expect(new CallError('WF_CALL_TIMEOUT', 'x')).not.toHaveProperty('cause');
  });
});
