import { refusal, type CallbackEndpoint } from './endpoint.js';
import {
  bytesOf,
  streamOf,
  takeResponse,
  write,
  type EndpointAnswer,
  type HostRequest,
  type HostResponse,
} from './host.js';

/** Answers a callback request. Never throws. */
export async function serve(
  endpoint: CallbackEndpoint,
  request: HostRequest,
  response: HostResponse,
): Promise<void> {
  const target = takeResponse(response);
  const stream = streamOf(request);
  let answer: EndpointAnswer;
  try {
    answer = await endpoint.handle(await bytesOf(request, endpoint), stream.headers, stream.socket);
  } catch (error) {
    answer = refusal(error);
  }
  write(target, answer, stream);
}
