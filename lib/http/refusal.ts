/** A request that is answered without looking further. Internal: becomes the answer `{ code, message }` with `status`. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  constructor(
    readonly status: 400 | 408 | 413 | 415,
    message: string,
  ) {
    super(message);
  }
}
