/** How long a run whose code does not fit is left alone before it is looked at again: other code may be deployed by then. */
export const STUCK_MS = 30_000;
