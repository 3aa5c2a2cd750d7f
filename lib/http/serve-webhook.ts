import { bytesOf, streamOf, takeResponse, write, type HostRequest, type HostResponse } from './host.js';
import type { WebhookEndpoint } from './webhook.endpoint.js';

const NOTHING = Buffer.alloc(0);

/** Answers a call of a webhook. Never throws. */
export async function serveWebhook(
  endpoint: WebhookEndpoint,
  request: HostRequest,
  response: HostResponse,
): Promise<void> {
  const target = takeResponse(response);
  const stream = streamOf(request);
  const { headers } = stream;
  // a host may have ended such a stream without a parser having had anything of it
  const isEmpty = headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0;
  const answer = await endpoint.handle({
    method: stream.method ?? '',
    url: request.originalUrl ?? stream.url ?? '',
    headers,
    readBody: async () => (isEmpty ? NOTHING : bytesOf(request, endpoint)),
  });
  write(target, answer, stream);
}
