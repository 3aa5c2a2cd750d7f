import { Inject, Injectable, Optional } from '@nestjs/common';
import { Chance, Clock, Codec, Probe, RunEffects, RunStore, type Loaded } from '../ports/index.js';
import type { WorkflowDefinition } from '../registry/index.js';
import { Activation } from './activation.js';
import type { ActivationDependencies } from './activation.types.js';
import { RuntimeConfig } from './config.js';
import { Capacity } from './capacity.js';
import { JournalWriter } from './journal-writer.js';
import { Leases } from './leases.js';
import { LocalEnds } from './local-ends.js';
import { Signals } from './signals.js';
import { StepRunner } from './step-runner.js';

/** Makes activations with everything they need. */
@Injectable()
export class ActivationFactory {
  readonly #dependencies: ActivationDependencies;

  constructor(
    writer: JournalWriter,
    steps: StepRunner,
    capacity: Capacity,
    leases: Leases,
    codec: Codec,
    effects: RunEffects,
    clock: Clock,
    chance: Chance,
    store: RunStore,
    signals: Signals,
    ends: LocalEnds,
    @Inject(RuntimeConfig) config: RuntimeConfig,
    @Optional() probe?: Probe,
  ) {
    const onLateAsk = (execution: string, closed: boolean): void => {
      // a lost reactivation costs the abandoned call, never the run: whatever comes next for it replays the call again
      store.reactivate(execution, closed).then(
        () => signals.announceDue(),
        () => {},
      );
    };
    this.#dependencies = {
      writer,
      steps,
      capacity,
      worker: leases.worker,
      codec,
      effects,
      clock,
      chance,
      ends,
      config,
      probe: probe ?? null,
      onLateAsk,
    };
  }

  /** At once where the class is a singleton: a promise is dear on the way of every run. */
  make(definition: WorkflowDefinition, loaded: Loaded): Activation | Promise<Activation> {
    const handler = definition.instance(loaded.header.runId);
    const of = (one: Awaited<typeof handler>): Activation =>
      new Activation(this.#dependencies, definition, one, loaded);
    return handler instanceof Promise ? handler.then(of) : of(handler);
  }
}
