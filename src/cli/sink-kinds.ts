/** The kinds of sinks, by the scheme of their URL. */
import type { Command } from 'commander';
import { MetricsStreamError } from '../base/errors.ts';
import type { SinkFactory } from '../export/sink.ts';
import { POSTGRES } from './postgres-kind.ts';

/** Options as commander parsed them. */
export type Flags = Readonly<Record<string, unknown>>;

export interface VerifySinkOptions {
  readonly dataDir: string;
  readonly json: boolean;
}

export interface SinkKind {
  readonly schemes: readonly string[];
  /** The default of `--name`. */
  readonly name: string;
  /** Adds the options that only this kind has. */
  addOptions(command: Command): void;
  /** @throws MetricsStreamError CONFIG_INVALID */
  open(url: URL, flags: Flags): Promise<SinkFactory>;
  /** Creates or upgrades what the sink needs; returns what it did, for people. */
  init(url: URL, flags: Flags): Promise<string>;
  /** The statements or settings of `init`. */
  schema(flags: Flags): Promise<string>;
  /** Compares log and sink; returns the exit code. */
  verify(url: URL, options: VerifySinkOptions): Promise<number>;
}

export const SINK_KINDS: readonly SinkKind[] = [POSTGRES];

/** @throws MetricsStreamError CONFIG_INVALID */
export function sinkKindOf(option: string, text: string): { kind: SinkKind; url: URL } {
  const url = URL.canParse(text) ? new URL(text) : null;
  const kind = SINK_KINDS.find(({ schemes }) => schemes.includes(url?.protocol ?? ''));
  if (url !== null && kind !== undefined) return { kind, url };
  const schemes = SINK_KINDS.map(({ schemes: [scheme] }) => `${scheme}//…`).join(' or ');
  throw new MetricsStreamError('CONFIG_INVALID', `${option}: give a URL of the form ${schemes}`);
}
