import type { Algorithm } from './algorithm.ts';
import { eventRing } from './algorithms/event-ring.ts';

/** In the order of the table in docs/memory-ordering.md. */
export const algorithms = [eventRing] as unknown as readonly Algorithm<never>[];
