/** Settings of the write-ahead log that main decides at the start and every thread reads: three Float64 words. */
import { BACKENDS, type Backend } from '../../wal/block-writer.ts';
import { BLOCK_BYTES, type Generation } from '../../wal/record.ts';

export interface WalSettings {
  readonly backend: Backend;
  readonly generation: Generation;
  /** Size of each lane's file: a multiple of BLOCK_BYTES. */
  readonly fileBytes: number;
}

const BACKEND = 0;
const GENERATION = 1;
const FILE_BYTES = 2;
const SETTINGS_BYTES = 3 * Float64Array.BYTES_PER_ELEMENT;

export function createWalSettings(): SharedArrayBuffer {
  return new SharedArrayBuffer(SETTINGS_BYTES);
}

/** Call before the threads start. Returns the size of the files in whole blocks. */
export function writeWalSettings(memory: SharedArrayBuffer, settings: WalSettings): number {
  const words = new Float64Array(memory);
  words[BACKEND] = BACKENDS.indexOf(settings.backend);
  words[GENERATION] = settings.generation;
  const fileBytes = Math.floor(settings.fileBytes / BLOCK_BYTES) * BLOCK_BYTES;
  words[FILE_BYTES] = fileBytes;
  return fileBytes;
}

export function readWalSettings(memory: SharedArrayBuffer): WalSettings {
  const words = new Float64Array(memory);
  return {
    backend: BACKENDS[words[BACKEND]!]!,
    generation: words[GENERATION]!,
    fileBytes: words[FILE_BYTES]!,
  };
}
