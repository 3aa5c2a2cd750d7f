import { Inject, Injectable } from '@nestjs/common';
import { DeliveryHandler, type Delivery, type DeliveryReply } from '../ports/index.js';
import { RuntimeConfig } from './config.js';
import { DeliveryExecutor } from './delivery-executor.js';

/** Deliveries of this process's own scheduler: as many steps as there are, and none comes twice. */
@Injectable()
export class LocalDeliveries extends DeliveryHandler {
  constructor(private readonly executor: DeliveryExecutor) {
    super();
  }

  handle(delivery: Delivery): Promise<DeliveryReply> {
    return this.executor.execute(delivery, { budget: Infinity, guarded: false, fromHere: true });
  }
}

/** Deliveries that came over the network: `stepsPerCall` steps, and each of them may be a copy. */
@Injectable()
export class RemoteDeliveries extends DeliveryHandler {
  constructor(
    private readonly executor: DeliveryExecutor,
    @Inject(RuntimeConfig) private readonly config: RuntimeConfig,
  ) {
    super();
  }

  handle(delivery: Delivery, fromHere = false): Promise<DeliveryReply> {
    return this.executor.execute(delivery, { budget: this.config.stepsPerCall, guarded: true, fromHere });
  }
}
