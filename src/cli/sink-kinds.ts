/** The kinds of sinks, by the scheme of their URL. */
import { MetricsStreamError } from '../base/errors.ts';
import { POSTGRES } from './postgres-kind.ts';
import type { SinkKind } from './sink-kind.ts';

export const SINK_KINDS: readonly SinkKind[] = [POSTGRES];

/** @throws MetricsStreamError CONFIG_INVALID */
export function sinkKindOf(option: string, text: string): { kind: SinkKind; url: URL } {
  const url = URL.canParse(text) ? new URL(text) : null;
  const kind = SINK_KINDS.find(({ schemes }) => schemes.includes(url?.protocol ?? ''));
  if (url !== null && kind !== undefined) return { kind, url };
  const schemes = SINK_KINDS.map(({ schemes: [scheme] }) => `${scheme}//…`).join(' or ');
  throw new MetricsStreamError('CONFIG_INVALID', `${option}: give a URL of the form ${schemes}`);
}
