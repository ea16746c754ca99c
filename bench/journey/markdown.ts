/** journey.md: a pure function of journey.json. */
import { table as markdownTable } from '../compare/report.ts';
import { type Journey, RATE_KINDS } from './figures.ts';
import { headlineSentences, revertSentences, stepSentences } from './sentences.ts';
import { phasesOf } from './summary.ts';
import {
  ladderFigures,
  ladderTable,
  openTable,
  profileTable,
  revertBatchesOf,
  revertTable,
  saturationTable,
  type Table,
} from './tables.ts';
import { originText, RATE_TEXTS, whole } from './text.ts';

const table = ({ head, rows }: Table): string => markdownTable(head, rows);

const list = (sentences: readonly string[]): string => sentences.map((text) => `- ${text}`).join('\n');

export function methodText(journey: Journey): string {
  const { rounds, seconds, warmUpSeconds, batch, openClients, serverArgs } = journey;
  return (
    `${rounds} round${rounds === 1 ? '' : 's'}; within a round all phases take turns. Each cell is a new server process with a new data directory ` +
    `(\`${serverArgs.join(' ')}\`), a warm-up of ${warmUpSeconds} s and a load of ${seconds} s; the server, with all ` +
    'its threads, has one core and the load generator the other. Latencies count from the intended send time, of 2xx ' +
    'answers only. In every cell the files were read afterwards: each metric that was accepted is there, none that was ' +
    'refused, none twice. CPU time is that of the whole server process until it was idle again. Figures are medians ' +
    `over the rounds, spreads are minimum and maximum; ratios are formed within a round. Ladder and open loop send ${batch} metrics a ` +
    `request, the open loop over ${openClients} connections.`
  );
}

function ladderSection(journey: Journey): string[] {
  return [
    '## The client ladder, closed loop',
    'Each client sends its next request when the answer before has arrived, at once, a refusal included.',
    ...ladderFigures.flatMap(({ title, show }) => [`### ${title}`, table(ladderTable(journey, show))]),
  ];
}

function openSection(journey: Journey): string[] {
  if (journey.open.length === 0) return [];
  const kinds = RATE_KINDS.filter((kind) => openTable(journey, kind).rows.length > 0);
  return [
    '## Constant rates, open loop',
    'Requests are due at a constant rate, whatever the server does. *Unsent*: due, but no connection was free.',
    ...kinds.flatMap((kind) => [
      `### ${RATE_TEXTS[kind][0]!.toUpperCase()}${RATE_TEXTS[kind].slice(1)}`,
      table(openTable(journey, kind)),
    ]),
  ];
}

function revertSection(journey: Journey): string[] {
  const { reverts, phases } = journey;
  if (reverts.length === 0) return [];
  const last = phases.at(-1)!.number;
  return [
    '## The other way round: the last phase with one slot reverted',
    `Starting threads hides what phases 3 to 5 gain. So here phase ${last} runs with one slot as it was before its last ` +
      `change, ${reverts[0]!.load.clients} clients, closed loop. With the dispatch reverted it is phase ${last - 1}.`,
    ...revertBatchesOf(journey).flatMap((batch) => [
      `### ${whole(batch)} metric${batch === 1 ? '' : 's'} a request`,
      table(revertTable(journey, batch)),
    ]),
    list(revertSentences(journey)),
  ];
}

function profileSection(journey: Journey): string[] {
  const { profiles, profiled } = journey;
  const [first] = profiles;
  if (first === undefined) return [];
  const how =
    first.tool === 'perf'
      ? 'Samples by `perf` (cpu-clock), kernel included'
      : "V8's sampling profiler, for want of `perf`: native code counts to the JavaScript that called it";
  return [
    '## Where the CPU time goes',
    `${how}; ${first.clients} clients, ${first.batch} metrics a request. The profiler slows thread start down, so the ` +
      `shares count, not the rates. The time it takes itself is left out.${profiled ? ` ${originText(profiled)}` : ''}`,
    table(profileTable(journey)),
    list(
      profiles.map(
        ({ phase, revert, functions, samples }) =>
          `Phase ${phase}${revert ? `, ${revert} reverted` : ''}, ${whole(samples)} samples, most costly functions: ` +
          functions
            .slice(0, 6)
            .map(({ name, share }) => `\`${name}\` ${(share * 100).toFixed(1)}%`)
            .join(', '),
      ),
    ),
  ];
}

export function markdown(journey: Journey): string {
  const { failures } = journey;
  const parts = [
    '# The optimisation journey, measured',
    `Command: \`${journey.command}\``,
    `Machine: ${journey.machine}; ${journey.date}`,
    methodText(journey),
    ...(failures.length > 0 ? ['**Cells that failed:**', list(failures)] : []),
    list(headlineSentences(journey).map(({ text }) => text)),
    '## At saturation',
    'The rung of the ladder on which a phase stored most.',
    table(saturationTable(journey)),
    ...(phasesOf(journey).length > 1 ? ['### What each step did', list(stepSentences(journey))] : []),
    ...ladderSection(journey),
    ...openSection(journey),
    ...revertSection(journey),
    ...profileSection(journey),
  ];
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`;
}
