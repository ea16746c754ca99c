/** One kind of sink: its options, and what `export` and `verify` do with it. */
import type { Command } from 'commander';
import type { SinkFactory } from '../export/sink.ts';

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
  open(address: string, flags: Flags): Promise<SinkFactory>;
  /** Creates or upgrades what the sink needs; returns what it did, for people. */
  init(address: string, flags: Flags): Promise<string>;
  /** The statements or settings of `init`. */
  schema(flags: Flags): Promise<string>;
  /** Compares log and sink; returns the exit code. */
  verify(address: string, options: VerifySinkOptions): Promise<number>;
}
