/** The counters that MetricsStream itself exposes, to be held against what wrk and the files say. */

export interface OwnCounts {
  readonly acceptedMetrics: number;
  /** Samples that tell why requests were refused, such as `metricsstream_requests_total{status="503"} 3`. */
  readonly refusals: readonly string[];
}

const ACCEPTED = 'metricsstream_metrics_accepted_total';
const REFUSAL = /^metricsstream_requests_(?:total\{status="[345]\d\d"\}|unavailable_total\{.*\}) [1-9]/;

/** Reads GET /metrics. Throws when it is not answered with the counter. */
export async function scrape(port: number): Promise<OwnCounts> {
  const response = await fetch(`http://127.0.0.1:${port}/metrics`, { headers: { accept: 'text/plain' } });
  const lines = (await response.text()).split('\n');
  const accepted = lines.find((line) => line.startsWith(`${ACCEPTED} `));
  if (accepted === undefined) throw new Error(`GET /metrics (${response.status}) has no ${ACCEPTED}`);
  return {
    acceptedMetrics: Number(accepted.slice(ACCEPTED.length)),
    refusals: lines.filter((line) => REFUSAL.test(line)),
  };
}
