/** The kinds of sinks, by the scheme of their URL. */
import { MetricsStreamError } from '../base/errors.ts';
import { NATS } from './nats-kind.ts';
import { POSTGRES } from './postgres-kind.ts';
import type { SinkKind } from './sink-kind.ts';

export const SINK_KINDS: readonly SinkKind[] = [POSTGRES, NATS];

/** @throws MetricsStreamError CONFIG_INVALID */
export function sinkKindOf(option: string, address: string): SinkKind {
  const scheme = /^[a-z]+:/.exec(address)?.[0] ?? '';
  const kind = SINK_KINDS.find(({ schemes }) => schemes.includes(scheme));
  if (kind !== undefined) return kind;
  const schemes = SINK_KINDS.map(({ schemes: [scheme] }) => `${scheme}//…`).join(' or ');
  throw new MetricsStreamError('CONFIG_INVALID', `${option}: give a URL of the form ${schemes}`);
}
