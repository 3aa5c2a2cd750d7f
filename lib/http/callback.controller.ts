import {
  Controller,
  Inject,
  Post,
  Req,
  Res,
  VERSION_NEUTRAL,
  type OnModuleInit,
  type Type,
} from '@nestjs/common';
import { AbstractHttpAdapter, HttpAdapterHost } from '@nestjs/core';
import { CallbackEndpoint } from './endpoint.js';
import type { HostRequest, HostResponse } from './host.js';
import { CONTENT_TYPE, DELIVER_ROUTE, MAX_BODY_BYTES } from './protocol.js';
import { serve } from './serve.js';

/** What the Fastify adapter of Nest offers beyond the common interface. */
interface FastifyLikeAdapter {
  getInstance(): { hasContentTypeParser(type: string): boolean };
  useBodyParser(
    type: string,
    rawBody: boolean,
    options: { bodyLimit: number },
    parser: (request: unknown, body: Buffer, done: (error: Error | null, body?: Buffer) => void) => void,
  ): void;
}

/**
 * The callback controller at a path. A class of its own per call, for two applications in one process may have two paths.
 * It answers where `CallbackMiddleware` did not run; interceptors and guards of the application then apply.
 */
export function createCallbackController(path: string): Type<unknown> {
  @Controller({ path, version: VERSION_NEUTRAL })
  class WorkflowCallbackController implements OnModuleInit {
    constructor(
      @Inject(CallbackEndpoint) private readonly endpoint: CallbackEndpoint,
      @Inject(HttpAdapterHost) private readonly host: HttpAdapterHost,
    ) {}

    onModuleInit(): void {
      keepBytesOnFastify(this.host.httpAdapter);
    }

    @Post(DELIVER_ROUTE)
    async deliver(@Req() request: HostRequest, @Res() response: HostResponse): Promise<void> {
      await serve(this.endpoint, request, response);
    }
  }
  return WorkflowCallbackController;
}

/** Fastify answers 415 to a content type without a parser. Express has no such list and leaves the stream alone. */
function keepBytesOnFastify(adapter: unknown): void {
  if (!isFastify(adapter) || adapter.getInstance().hasContentTypeParser(CONTENT_TYPE)) return;
  adapter.useBodyParser(CONTENT_TYPE, true, { bodyLimit: MAX_BODY_BYTES }, (_request, body, done) =>
    done(null, body),
  );
}

function isFastify(adapter: unknown): adapter is FastifyLikeAdapter {
  return adapter instanceof AbstractHttpAdapter && adapter.getType() === 'fastify';
}
