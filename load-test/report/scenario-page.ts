/** A scenario's outcome, as text and as a page. */
import { textTable } from '../format.ts';
import type { ScenarioResult } from '../scenarios/scenario.ts';
import { originSection } from './machine.ts';
import { renderPage, type Section } from './page.ts';
import { checkText, loadText } from './summary.ts';

function summaryOf({ ok, interrupted }: ScenarioResult): string {
  if (interrupted) return 'Ended early.';
  return ok ? 'All expectations hold.' : 'Not all expectations hold.';
}

const verdict = (ok: boolean): string => (ok ? 'holds' : 'DOES NOT HOLD');

/** Warnings of all its loads, each once. */
function warningsOf({ steps }: ScenarioResult): string[] {
  return steps.flatMap(({ name, result }) => result.warnings.map((warning) => `${name}: ${warning}`));
}

export function scenarioText(result: ScenarioResult): string {
  const { title, table, expectations, notes } = result;
  return [
    '',
    title,
    '',
    textTable([table.head, ...table.rows]),
    '',
    ...expectations.map(({ text, measured, ...one }) => `${verdict(one.ok).padEnd(13)} ${text}: ${measured}`),
    ...notes,
    ...warningsOf(result).map((warning) => `warning: ${warning}`),
    '',
    summaryOf(result),
  ].join('\n');
}

/** @param expects the scenario's own text */
export function scenarioPage(result: ScenarioResult, expects: string, command: string): string {
  const { title, table, expectations, notes, charts, steps, ok, interrupted } = result;
  const sections: Section[] = [
    {
      heading: 'Expectations',
      callouts: [
        { tone: ok && !interrupted ? 'good' : 'bad', text: summaryOf(result) },
        ...warningsOf(result).map((text) => ({ tone: 'warn', text }) as const),
      ],
      text: [...notes],
      table: {
        head: ['expectation', '', 'measured'],
        kind: 'text',
        rows: expectations.map((one) => [one.text, verdict(one.ok), one.measured]),
      },
    },
    {
      heading: 'Loads',
      table,
      charts,
    },
    originSection(command, [
      ...steps.map(({ name, result: { plan } }) => [name, loadText(plan)]),
      ...steps.map((step) => [`${step.name}: check`, checkText(step.result)]),
    ]),
  ];
  return renderPage({ title, intro: `Expects: ${expects}.`, sections });
}
