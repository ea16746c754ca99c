/** Request bodies whose metrics have unique names. */

export interface MetricInput {
  readonly name: string;
  readonly value: number;
  readonly type?: string;
  readonly timestamp?: number;
  readonly tags?: Readonly<Record<string, string>>;
}

export function metric(name: string, value = 1): MetricInput {
  return { name, value, type: 'gauge', timestamp: 1_700_000_000_000, tags: { host: 'web-1', region: 'eu' } };
}

export function bodyOf(metrics: readonly unknown[]): string {
  return JSON.stringify({ metrics });
}

/** A body of metrics with these names. */
export function namesBody(...names: string[]): string {
  return bodyOf(names.map((name) => metric(name)));
}

export function ndjsonBody(items: readonly unknown[]): string {
  return items.map((item) => `${JSON.stringify(item)}\n`).join('');
}

let nextName = 0;

/** A name that is unique in this process. */
export function uniqueName(prefix: string): string {
  nextName += 1;
  return `${prefix}.${process.pid}.${nextName}`;
}
