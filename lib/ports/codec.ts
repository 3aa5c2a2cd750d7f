/** Values to text and back. `decode(encode(v))` is what user code sees, live and replayed. */
export abstract class Codec {
  /**
   * @param what names the value in the error: `payload of run r1`, `result of step "charge"`
   * @throws WorkflowError WF_NOT_SERIALIZABLE (names the path inside the value), WF_TOO_LARGE
   */
  abstract encode(value: unknown, what: string): string;
  abstract decode(text: string): unknown;
}
