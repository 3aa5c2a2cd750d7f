/** By which way a delivery came: what it may do, and what it must be protected against. */
export interface DeliveryMode {
  /** steps one delivery may execute */
  readonly budget: number;
  /** the network may bring a delivery twice */
  readonly guarded: boolean;
}
