/** One line about what a snapshot leaves out. */
import { gapText } from '../storage/segment-reader.ts';
import type { LeftOut } from './snapshot.ts';

const GAPS_SHOWN = 3;

/** Null when nothing is left out. */
export function leftOutText({
  damagedPlaces,
  damagedBytes,
  damagedRecords,
  missing,
}: LeftOut): string | null {
  const parts: string[] = [];
  if (damagedPlaces > 0)
    parts.push(
      `${damagedPlaces} damaged ${damagedPlaces === 1 ? 'place' : 'places'} (${damagedBytes} bytes)`,
    );
  if (damagedRecords > 0) parts.push(`${damagedRecords} damaged records of the write-ahead log`);
  const gaps = missing.slice(0, GAPS_SHOWN).map(({ first, last }) => gapText(first, last));
  if (missing.length > GAPS_SHOWN) gaps.push(`and ${missing.length - GAPS_SHOWN} more gaps`);
  parts.push(...gaps);
  return parts.length === 0 ? null : `left out: ${parts.join('; ')}. metricsstream verify names the places`;
}
