/** Resident memory of a server over time, and whether it grows. */
import { memoryOf } from './server-process.ts';

const SAMPLE_MS = 1_000;
const MIB = 2 ** 20;
/** Until then caches, compiled code and heaps have found their size. */
const SETTLED_SHARE = 0.2;

export interface MemorySample {
  readonly atSeconds: number;
  readonly bytes: number;
}

export interface MemoryWatch {
  readonly samples: readonly MemorySample[];
  end(): void;
}

/** Samples the memory of a process until `end`, at once and then every so many milliseconds. */
export function watchMemory(pid: number, everyMs = SAMPLE_MS): MemoryWatch {
  const samples: MemorySample[] = [];
  const beganMs = performance.now();
  const sample = (): void => {
    samples.push({ atSeconds: (performance.now() - beganMs) / 1e3, bytes: memoryOf(pid).residentBytes });
  };
  sample();
  const timer = setInterval(sample, everyMs);
  return { samples, end: () => clearInterval(timer) };
}

/** Slope by least squares, in MiB a minute, of the samples after the first fifth. */
export function memorySlope(samples: readonly MemorySample[]): number {
  const settled = samples.slice(Math.floor(samples.length * SETTLED_SHARE));
  const count = settled.length;
  if (count < 2) return Number.NaN;
  const meanX = settled.reduce((sum, { atSeconds }) => sum + atSeconds, 0) / count;
  const meanY = settled.reduce((sum, { bytes }) => sum + bytes, 0) / count;
  let covariance = 0;
  let variance = 0;
  for (const { atSeconds, bytes } of settled) {
    covariance += (atSeconds - meanX) * (bytes - meanY);
    variance += (atSeconds - meanX) ** 2;
  }
  return (covariance / variance / MIB) * 60;
}
