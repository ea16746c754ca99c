/** A competent first version: `JSON.parse`, and a walk that checks the contract's rules. */

const TYPES = new Set(['gauge', 'counter', 'histogram', 'summary']);

export interface Metric {
  readonly name: string;
  readonly value: number;
  readonly type?: string;
  readonly timestamp?: number;
  readonly tags?: Record<string, string>;
}

/** The contract's rules on a parsed item, without the texts of errors. */
function isValid(item: unknown): item is Metric {
  if (typeof item !== 'object' || item === null || Array.isArray(item)) return false;
  const { name, value, type, timestamp, tags } = item as Record<string, unknown>;
  if (typeof name !== 'string' || name.length === 0 || name.length > 255) return false;
  for (let at = 0; at < name.length; at++) {
    const unit = name.charCodeAt(at);
    if (unit < 0x20 || (unit >= 0x7f && unit < 0xa0)) return false;
    // Few names are not ASCII; only those need their bytes counted.
    if (unit > 0x7f && Buffer.byteLength(name) > 255) return false;
  }
  if (typeof value !== 'number' || !Number.isFinite(value)) return false;
  if (type !== undefined && (typeof type !== 'string' || !TYPES.has(type))) return false;
  if (
    timestamp !== undefined &&
    (!Number.isSafeInteger(timestamp) || Math.abs(timestamp as number) > 8.64e15)
  ) {
    return false;
  }
  if (tags === undefined) return true;
  if (typeof tags !== 'object' || tags === null || Array.isArray(tags)) return false;
  let members = 0;
  for (const key in tags) {
    if (typeof (tags as Record<string, unknown>)[key] !== 'string') return false;
    if (++members > 64) return false;
  }
  return true;
}

/** Parsed, checked and kept as objects: what a handler would hand on. */
export function parseAndWalk(body: Buffer): Metric[] {
  const { metrics } = JSON.parse(body.toString('utf8')) as { metrics: unknown };
  if (!Array.isArray(metrics)) return [];
  const valid: Metric[] = [];
  for (const item of metrics) if (isValid(item)) valid.push(item);
  return valid;
}

/** The same as the lines of the log. @returns their bytes in `out` */
export function builtinLines(body: Buffer, out: Buffer, receiptMs: number): number {
  let lines = '';
  for (const { timestamp = receiptMs, name, value, type = 'gauge', tags } of parseAndWalk(body)) {
    lines += `${JSON.stringify({ timestamp, name, value, type, tags })}\n`;
  }
  return out.write(lines, 0, 'utf8');
}
