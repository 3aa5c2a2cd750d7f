export type Undici = typeof import('undici');

let loading: Promise<Undici> | undefined;

/**
 * The HTTP client, loaded at its first use: of all that this library imports it takes longest to load (110 files, an eighth of the
 * time from the start of a process to its first claim), and an application with steps in-process and no external calls never
 * sends a request.
 */
export const loadUndici = (): Promise<Undici> => (loading ??= import('undici'));
