/** Tables of metrics: name and help of each, in one place. */

/** Upper bounds in seconds, for latencies from one transaction to an outage. */
export const LATENCY_BUCKETS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
];

/** Makes a metric of each row of `table`, from name to help. */
export function metricsOf<Name extends string, Metric>(
  table: Readonly<Record<Name, string>>,
  make: (name: Name, help: string) => Metric,
): Record<Name, Metric> {
  const rows = Object.entries<string>(table) as [Name, string][];
  return Object.fromEntries(rows.map(([name, help]) => [name, make(name, help)])) as Record<Name, Metric>;
}
