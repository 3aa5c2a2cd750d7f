import { describe, expect, it } from 'vitest';
import type { WorkflowDefinition } from '../../lib/registry/definition.js';
import { WorkflowRegistry } from '../../lib/registry/registry.js';

const schedule = (id: string, workflow: string) =>
  ({ id, workflow }) as WorkflowDefinition['schedules'][number];
const definition = (name: string, version: string | null, more: Partial<WorkflowDefinition> = {}) =>
  ({
    name,
    version,
    type: class Some {},
    takesOver: [],
    schedules: [],
    ...more,
  }) as unknown as WorkflowDefinition;

describe('the registry of several versions', () => {
  it('finds a class, a version, and the newest of a name, in whatever order they came', () => {
    const registry = new WorkflowRegistry();
    const [one, two, ten, none] = ['1', '2', '10', null].map((version) => definition('order', version));
    for (const each of [two!, ten!, none!, one!]) registry.add(each);
    expect(registry.resolve('order')).toBe(ten);
    expect(registry.resolve(one!.type)).toBe(one);
    expect(registry.get('order', '2')).toBe(two);
    expect(registry.get('order', null)).toBe(none);
    expect(registry.get('order', '3')).toBeUndefined();
    expect(registry.names()).toEqual(['order']);
    expect(registry.queues()).toEqual(['order@2', 'order@10', 'order', 'order@1']);
  });

  it('refuses a version twice, and a name that looks like a version of another', () => {
    const registry = new WorkflowRegistry();
    registry.add(definition('order', '1'));
    expect(() => registry.add(definition('order', '1'))).toThrow(
      'Workflow name "order" in version "1" is used by Some and by Some',
    );
    expect(() => registry.add(definition('order@1', null))).toThrow(
      'Workflow name "order@1" is used by Some',
    );
    expect(registry.get('order@1', null)).toBeUndefined();
  });

  it('has the schedules of the newest version of each', () => {
    const registry = new WorkflowRegistry();
    registry.add(definition('order', '2', { schedules: [schedule('nightly', 'order')] }));
    registry.add(
      definition('order', '1', { schedules: [schedule('nightly', 'order'), schedule('old', 'order')] }),
    );
    registry.add(definition('bill', null, { schedules: [schedule('monthly', 'bill')] }));
    expect([...registry.schedules.keys()]).toEqual(['nightly', 'monthly']);
    registry.add(definition('order', '3', { schedules: [schedule('hourly', 'order')] }));
    expect([...registry.schedules.keys()]).toEqual(['monthly', 'hourly']);
    const taken = definition('bill', '1', { schedules: [schedule('hourly', 'bill')] });
    expect(() => registry.add(taken)).toThrow(
      'Schedule name "hourly" is used by workflow "order" and by "bill"',
    );
    expect(registry.get('bill', '1')).toBeUndefined();
  });
});
