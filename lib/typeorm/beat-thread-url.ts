/**
 * Where the code of the thread lies. Apart, and loaded by `import()` when it is needed: a test runner that makes CommonJS of the
 * package (jest on Node 20) cannot load a file with `import.meta` in it, and has no thread then.
 */
export const BEAT_THREAD = new URL('./beat-thread.js', import.meta.url);
