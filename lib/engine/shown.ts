const LONGEST = 200;

/** A value as a message shows it, at most some hundred characters; whatever was given, this never throws. */
export function shown(value: unknown): string {
  if (typeof value === 'object' && value !== null) return 'an object';
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'string') return JSON.stringify(cut(value));
  return cut(String(value));
}

/** What was thrown, as a text. Never throws itself. */
export function textOf(thrown: unknown): string {
  try {
    return String(thrown);
  } catch {
    return 'something that has no text';
  }
}

/** The name of a class: a static property of it may be anything. */
export const className = ({ name }: { readonly name: unknown }): string =>
  typeof name === 'string' ? cut(name) : shown(name);

const cut = (text: string): string => (text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text);
