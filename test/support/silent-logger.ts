import type { LoggerService } from '@nestjs/common';

/** Says nothing. */
export const silentLogger: LoggerService = {
  log: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  debug: () => undefined,
};

/** Keeps what was said, as `level: message`. */
export function recordingLogger(): LoggerService & { readonly lines: string[] } {
  const lines: string[] = [];
  const as =
    (level: string) =>
    (message: unknown): void =>
      void lines.push(`${level}: ${String(message)}`);
  return { lines, log: as('log'), warn: as('warn'), error: as('error'), debug: as('debug') };
}
