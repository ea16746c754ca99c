/** The options that commands on DuckDB share. */
import { tmpdir } from 'node:os';
import { type Command, Option } from 'commander';
import { availableCpus } from '../base/cpus.ts';
import { MetricsStreamError } from '../base/errors.ts';
import { memoryLimit } from '../base/memory-limit.ts';
import { MIB } from '../base/units.ts';
import { parseQuantity } from '../config/units.ts';
import type { DuckDBLimits } from '../duckdb/duckdb.ts';

const MEMORY_BYTES_MIN = 64 * MIB;
const MEMORY_BYTES_DEFAULT = 1_024 * MIB;

export interface LimitFlags {
  readonly maxMemory?: string;
  readonly threads?: string;
  readonly tempDir: string;
  readonly spill: string;
}

export function addLimitOptions(command: Command): Command {
  return command
    .option('--max-memory <size>', 'memory for DuckDB (default: 1g, or half of what this process may use)')
    .option('--threads <n>', 'threads of DuckDB (default: the CPUs of this process)')
    .addOption(
      new Option('--temp-dir <dir>', 'directory for private copies, a quarter of the segments').default(
        tmpdir(),
      ),
    )
    .option('--spill <size>', 'what larger sorts and joins than memory may write to --temp-dir', '0');
}

/** @throws MetricsStreamError CONFIG_INVALID */
export function limitsOf({ maxMemory, threads, tempDir, spill }: LimitFlags): DuckDBLimits {
  const maxMemoryBytes =
    maxMemory === undefined
      ? Math.min(MEMORY_BYTES_DEFAULT, Math.floor(memoryLimit().bytes / 2))
      : quantity('--max-memory', 'size', maxMemory, MEMORY_BYTES_MIN);
  const spillBytes = quantity('--spill', 'size', spill, 0);
  return {
    maxMemoryBytes,
    threads: threads === undefined ? availableCpus() : quantity('--threads', 'count', threads, 1),
    spillDirectory: spillBytes === 0 ? '' : tempDir,
    spillBytes,
  };
}

function quantity(option: string, kind: 'size' | 'count', text: string, min: number): number {
  const value = parseQuantity(kind, text);
  if (typeof value === 'string')
    throw new MetricsStreamError('CONFIG_INVALID', `${option} ${text}: ${value}`);
  if (Number.isSafeInteger(value) && value >= min) return value;
  throw new MetricsStreamError(
    'CONFIG_INVALID',
    `${option} ${text}: must be a whole number of at least ${min}`,
  );
}
