/** Selects the form of the metrics from an Accept header (RFC 9110, section 12.5.1). */

export type MetricsForm = 'text' | 'openmetrics' | 'json';

interface Offer {
  readonly form: MetricsForm;
  readonly type: string;
  readonly subtype: string;
  readonly version: string | null;
}

/** Equal qualities select the earlier one. */
const OFFERS: readonly Offer[] = [
  { form: 'text', type: 'text', subtype: 'plain', version: '0.0.4' },
  { form: 'openmetrics', type: 'application', subtype: 'openmetrics-text', version: '1.0.0' },
  { form: 'json', type: 'application', subtype: 'json', version: null },
];

interface MediaRange {
  readonly type: string;
  readonly subtype: string;
  readonly version: string | null;
  readonly quality: number;
}

/** The form with the highest quality; Prometheus text without a header, or if no form matches. */
export function negotiate(accept: string | undefined): MetricsForm {
  if (accept === undefined) return 'text';
  const ranges = accept.split(',').map(parseRange);
  let best: MetricsForm = 'text';
  let bestQuality = 0;
  for (const offer of OFFERS) {
    const quality = qualityOf(offer, ranges);
    if (quality <= bestQuality) continue;
    best = offer.form;
    bestQuality = quality;
  }
  return best;
}

function parseRange(text: string): MediaRange {
  const [range = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase());
  const [type = '', subtype = ''] = range.split('/');
  const parameter = (name: string): string | null =>
    parameters
      .find((entry) => entry.startsWith(`${name}=`))
      ?.slice(name.length + 1)
      .replaceAll('"', '') ?? null;
  const quality = Number(parameter('q') ?? 1);
  return {
    type,
    subtype,
    version: parameter('version'),
    quality: quality >= 0 && quality <= 1 ? quality : 0,
  };
}

/** The quality of the most specific matching range; 0 if none matches. */
function qualityOf(offer: Offer, ranges: readonly MediaRange[]): number {
  let quality = 0;
  let bestPrecision = 0;
  for (const range of ranges) {
    const precision = precisionOf(offer, range);
    if (precision <= bestPrecision) continue;
    quality = range.quality;
    bestPrecision = precision;
  }
  return quality;
}

/** 4: type and version, 3: type, 2: `type/*`, 1: any, 0: no match. */
function precisionOf(offer: Offer, range: MediaRange): number {
  if (range.type === '*' && range.subtype === '*') return 1;
  if (range.type !== offer.type) return 0;
  if (range.subtype === '*') return 2;
  if (range.subtype !== offer.subtype) return 0;
  if (range.version === null) return 3;
  return range.version === offer.version ? 4 : 0;
}
