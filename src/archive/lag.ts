/** How far the archive is behind the closed segments. */
import fs from 'node:fs';
import { join } from 'node:path';
import { MS_PER_SECOND } from '../base/units.ts';
import { segmentName } from '../storage/segment-name.ts';
import type { Manifest } from './manifest.ts';
import { closedSegments, isUnchanged } from './segment-scan.ts';

export interface Lag {
  readonly segments: number;
  readonly bytes: number;
  /** Since the last write to the oldest of these segments. */
  readonly seconds: number;
  /** The first of these segments, or Infinity. */
  readonly sequence: number;
}

export function lagOf(dataDir: string, manifest: Manifest | null): Lag {
  const known = new Map(manifest?.segments.map((segment) => [segment.sequence, segment]));
  let [segments, bytes, oldestMs, first] = [0, 0, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (const sequence of closedSegments(dataDir)) {
    const archived = known.get(sequence);
    if (archived !== undefined && isUnchanged(dataDir, archived)) continue;
    const stats = fs.statSync(join(dataDir, segmentName(sequence)), { throwIfNoEntry: false });
    if (stats === undefined) continue;
    segments += 1;
    first = Math.min(first, sequence);
    bytes += stats.size;
    oldestMs = Math.min(oldestMs, stats.mtimeMs);
  }
  const seconds = segments === 0 ? 0 : Math.max(0, Date.now() - oldestMs) / MS_PER_SECOND;
  return { segments, bytes, seconds, sequence: first };
}
