import {
  Injectable,
  type CallHandler,
  type CanActivate,
  type DynamicModule,
  type ExceptionFilter,
  type INestApplication,
  type NestApplicationOptions,
  type NestInterceptor,
  type PipeTransform,
} from '@nestjs/common';
import type { AbstractHttpAdapter } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { map, type Observable } from 'rxjs';
import type { Certificate } from '../support/certificate.js';

@Injectable()
export class DenyAll implements CanActivate {
  canActivate(): boolean {
    return false;
  }
}
@Injectable()
export class Envelope implements NestInterceptor {
  intercept(_context: unknown, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(map((data: unknown) => ({ wrapped: data })));
  }
}
@Injectable()
export class RefuseAll implements PipeTransform {
  transform(): never {
    throw new Error('no value passes this pipe');
  }
}
@Injectable()
export class SwallowAll implements ExceptionFilter {
  catch(): void {
    // answers nothing at all: a request that came here would hang
  }
}

/** An application as users have it, for our controllers to live in. */
export interface Host {
  readonly name: string;
  readonly providers?: DynamicModule['providers'];
  readonly options?: NestApplicationOptions;
  readonly setup?: (app: INestApplication) => void;
  /** false: only the controller is there */
  readonly middleware?: boolean;
  readonly route?: string;
}

export const ADAPTERS: Readonly<Record<'express' | 'fastify', (https?: Certificate) => AbstractHttpAdapter>> =
  {
    express: () => new ExpressAdapter(),
    // Express takes them of NestFactory.create
    fastify: (https) => new FastifyAdapter(https ? { https } : {}),
  };
