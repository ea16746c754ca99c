/** How a step explains what the learner's code lacks: in sentences, without a stack. */

export interface Finding {
  /** The actions of the test, as a sentence. */
  readonly did: string;
  readonly expected: string;
  readonly got: string;
  /** The conclusion, if there is one. */
  readonly so?: string;
  /** Lines that the test found, `src/a.ts:12`; the step's places if absent. */
  readonly where?: readonly string[];
}

export class StepFailure extends Error {
  readonly finding: Finding;

  constructor(finding: Finding) {
    super(`${finding.did} Expected: ${finding.expected}. Got: ${finding.got}.`);
    this.name = 'StepFailure';
    this.finding = finding;
  }
}

type Explanation = Pick<Finding, 'did' | 'so'> & { readonly expected?: string };

const LISTED = 12;

/** A value for people: short lists whole, long ones by their beginning. */
function inWords(value: unknown): string {
  if (typeof value === 'number') return value.toLocaleString('en-GB', { maximumFractionDigits: 3 });
  if (typeof value === 'string') return value === '' ? 'nothing' : value;
  if (!Array.isArray(value)) return JSON.stringify(value) ?? String(value);
  if (value.length === 0) return 'nothing';
  const shown = value
    .slice(0, LISTED)
    .map((item) => (Array.isArray(item) ? `(${inWords(item)})` : inWords(item)));
  const rest = value.length - shown.length;
  return shown.join(', ') + (rest > 0 ? ` … and ${rest} more` : '');
}

/** Compares by value. @throws StepFailure */
export function expectEqual<Value>(got: Value, expected: Value, explanation: Explanation): void {
  if (JSON.stringify(got) === JSON.stringify(expected)) return;
  throw new StepFailure({
    did: explanation.did,
    expected: explanation.expected ?? inWords(expected),
    got: inWords(got),
    ...(explanation.so === undefined ? {} : { so: explanation.so }),
  });
}

/** @throws StepFailure if the condition does not hold */
export function expectThat(condition: boolean, finding: Finding): asserts condition {
  if (!condition) throw new StepFailure(finding);
}
