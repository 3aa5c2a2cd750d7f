import {
  Inject,
  Injectable,
  RequestMethod,
  type MiddlewareConsumer,
  type NestMiddleware,
} from '@nestjs/common';
import { callbackRoute } from './callback-route.js';
import { CallbackEndpoint } from './endpoint.js';
import type { HostRequest, HostResponse } from './host.js';
import { serve } from './serve.js';

/**
 * Answers deliveries before global guards, pipes and interceptors of the application see them: a delivery has its own
 * proof of origin, and a guard that asks for a user would turn it away.
 */
@Injectable()
export class CallbackMiddleware implements NestMiddleware<HostRequest, HostResponse> {
  constructor(@Inject(CallbackEndpoint) private readonly endpoint: CallbackEndpoint) {}

  use(request: HostRequest, response: HostResponse): Promise<void> {
    return serve(this.endpoint, request, response);
  }
}

/** Call in `configure(consumer)` of the module that provides `CallbackEndpoint`. @param path that of the controller */
export function applyCallbackMiddleware(consumer: MiddlewareConsumer, path: string): void {
  consumer.apply(CallbackMiddleware).forRoutes({ path: callbackRoute(path), method: RequestMethod.POST });
}
