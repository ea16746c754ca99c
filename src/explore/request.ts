/** Reads the parameters of the page's requests. Each error names the parameter and the values allowed. */
import { MetricsStreamError } from '../base/errors.ts';
import { parseTime } from '../query/times.ts';
import { MODES, type Mode, type PlotQuestion, stepFor } from './questions.ts';

const POINTS_DEFAULT = 500;
const POINTS_MAX = 4_000;
const TEXT_MAX = 1_024;
const CONDITIONS_MAX = 64;

function invalid(text: string): MetricsStreamError {
  return new MetricsStreamError('CONFIG_INVALID', text);
}

function textOf(parameters: URLSearchParams, key: string): string {
  const text = parameters.get(key) ?? '';
  if (text.length > TEXT_MAX) throw invalid(`${key}: at most ${TEXT_MAX} characters`);
  return text;
}

export function nameOf(parameters: URLSearchParams): string {
  const name = textOf(parameters, 'name');
  if (name === '') throw invalid('name: give the name of a metric');
  return name;
}

/** @throws MetricsStreamError CONFIG_INVALID */
export function plotQuestionOf(parameters: URLSearchParams, nowMs: number): PlotQuestion {
  const mode = (parameters.get('mode') ?? 'avg') as Mode;
  if (!MODES.includes(mode)) throw invalid(`mode: give one of ${MODES.join(', ')}`);
  const fromMs = parseTime('from', parameters.get('from') ?? '1h', nowMs);
  const toMs = parseTime('to', parameters.get('to') ?? String(nowMs), nowMs);
  if (toMs <= fromMs) throw invalid('from: must be before to');
  const points = Number(parameters.get('points') ?? POINTS_DEFAULT);
  if (!Number.isInteger(points) || points < 1 || points > POINTS_MAX)
    throw invalid(`points: give a whole number from 1 to ${POINTS_MAX}`);
  return {
    name: nameOf(parameters),
    mode,
    by: textOf(parameters, 'by'),
    where: conditionsOf(parameters),
    fromMs,
    toMs,
    stepMs: stepFor(toMs - fromMs, points),
  };
}

/** Pairs of `key` and `is`, in order. */
function conditionsOf(parameters: URLSearchParams): [string, string][] {
  const keys = parameters.getAll('key');
  const values = parameters.getAll('is');
  if (keys.length !== values.length || keys.length > CONDITIONS_MAX)
    throw invalid(`key, is: give pairs, at most ${CONDITIONS_MAX}`);
  return keys.map((key, index) => [key, values[index]!]);
}
