/** `metricsstream learn`: the command line of the learning path. */
import { type Command, InvalidArgumentError } from 'commander';

const HELP = `
Examples:
  learn                      the map, or the next step of the phase that you started
  learn start 5              begin phase 5 on a branch of your own, my/phase-5
  learn check                compile and test at each save; --once for scripts
  learn hint                 one more hint for the next step
  learn solution 5.4 --yes   fill in one step

Exit code: 0; 1 when a step fails or something is missing; 2 for a wrong command line.`;

function number(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('Not a number.');
  return value;
}

async function openWorkspace() {
  const { ROOT, Workspace } = await import('../learn/workspace.ts');
  return new Workspace(ROOT);
}

export function addLearnCommand(program: Command): void {
  const exitWith = (code: number): void => {
    process.exitCode = code;
  };
  const learn = program
    .command('learn')
    .description('learn by building the components, step by step')
    .addHelpText('after', HELP)
    .action(async () => {
      const { overview } = await import('../learn/overview.ts');
      exitWith(await overview(await openWorkspace()));
    });

  learn
    .command('list')
    .description('phases and steps with what has passed')
    .option('--json', 'print as JSON: phase, step, title, state, minutes', false)
    .action(async ({ json }) => {
      const { list } = await import('../learn/overview.ts');
      exitWith(list(await openWorkspace(), json));
    });

  learn
    .command('start')
    .description('begin or continue a phase, or begin at a step with the earlier ones filled in')
    .argument('<phase|step>', '5, or 5.3')
    .action(async (target: string) => {
      const { start } = await import('../learn/start.ts');
      exitWith(start(await openWorkspace(), target));
    });

  learn
    .command('check')
    .description('compile and test the steps of the phase; again at each save')
    .option('--once', 'check once, for scripts', false)
    .option('--guess <n>', 'your prediction for a step that measures', number)
    .option('--verbose', 'print stacks', false)
    .action(async ({ once, verbose, guess }) => {
      const { check } = await import('../learn/check.ts');
      exitWith(await check(await openWorkspace(), { once, verbose, guess: guess ?? null }));
    });

  learn
    .command('show')
    .description('the text of the next step, or of another')
    .argument('[step]', 'default: the next step')
    .action(async (step: string | undefined) => {
      const { show } = await import('../learn/step-text.ts');
      exitWith(show(await openWorkspace(), step ?? null));
    });

  learn
    .command('hint')
    .description('one more hint')
    .argument('[step]', 'default: the next step')
    .action(async (step: string | undefined) => {
      const { hint } = await import('../learn/overview.ts');
      exitWith(hint(await openWorkspace(), step ?? null));
    });

  learn
    .command('solution')
    .description("show one step, yours beside the reference's; with --yes fill it in")
    .argument('<step>', '5.3')
    .option('--yes', 'fill it in', false)
    .action(async (step: string, { yes }) => {
      const { solution } = await import('../learn/solution.ts');
      exitWith(solution(await openWorkspace(), step, yes));
    });

  learn
    .command('reset')
    .description('put a step, or a phase, back as it was at the start')
    .argument('<phase|step>', '5, or 5.3')
    .action(async (target: string) => {
      const { reset } = await import('../learn/solution.ts');
      exitWith(reset(await openWorkspace(), target));
    });

  learn
    .command('progress')
    .description('what has passed, with hints and times')
    .action(async () => {
      const { progress } = await import('../learn/overview.ts');
      exitWith(progress(await openWorkspace()));
    });

  learn
    .command('bench')
    .description('measure the component before, yours and the reference in turns')
    .option('--guess <n>', 'your guess, before you measure', number)
    .option('--smoke', 'one short round, to see that it works', false)
    .action(async ({ guess, smoke }) => {
      const { bench } = await import('../learn/bench.ts');
      exitWith(await bench(await openWorkspace(), { guess: guess ?? null, smoke }));
    });

  learn
    .command('answer')
    .description('keep your answer to an exercise, and see the model answer')
    .argument('<phase>', '5')
    .argument('<number>', 'its number in EXERCISES.md')
    .option('--mine <text>', 'your answer')
    .action(async (phase: string, question: string, { mine }) => {
      const { answer } = await import('../learn/answer.ts');
      exitWith(await answer(await openWorkspace(), phase, question, mine ?? null));
    });

  learn
    .command('branches')
    .description('write the branches learning/phase-N and solution/phase-N, and a tag for each phase')
    .option(
      '--from <revision>',
      'where every phase is solved (default: the branch that learning started from)',
    )
    .action(async ({ from }) => {
      const { writeBranches } = await import('../learn/branches.ts');
      exitWith(writeBranches(await openWorkspace(), from ?? null));
    });

  learn
    .command('hub')
    .description('serve a local page: the map, from symptoms to phases, your runs')
    .option('--port <n>', 'port on 127.0.0.1; 0: any', number, 8099)
    .action(async ({ port }) => {
      const { hub } = await import('../learn/hub.ts');
      exitWith(await hub(await openWorkspace(), port));
    });
}
