/** By which way a delivery came: what it may do, and what it must be protected against. */
export interface DeliveryMode {
  /** steps one delivery may execute */
  readonly budget: number;
  /** the network may bring a delivery twice */
  readonly guarded: boolean;
  /** this process has sent it to itself: nobody else has got it, and what is known here of its run is as new as the rows */
  readonly fromHere: boolean;
}
