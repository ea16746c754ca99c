/** The command line of the load generator: `npm run load`, and `metricsstream load`. */
import { Command, InvalidArgumentError, Option } from 'commander';
import type { LoadFlags } from './flags.ts';
import { PLAN_DEFAULTS } from './plan.ts';

const HELP = `
Examples:
  load 8080 10 100 100                 10 clients, 100 requests each, one every 100 ms
  load --rate 5000 --duration 30s      5,000 requests/s whatever the server does, latency from the moment each was due
  load --clients 64 --batch 100 --duration 10s --data-dir ./data --report run.html
  load --scenario overload             starts a server of its own and tells whether what it expects holds

Exit code: 0; 1 when what was accepted is not stored, nothing succeeded or a scenario's expectation does not hold;
2 for a wrong command line; 130 when it was ended by Ctrl-C.`;

function number(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('Not a number.');
  return value;
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1e3, m: 60e3, h: 3600e3 };

/** `10s`, `500ms`, `2m`, `1h`; a bare number is seconds. */
function duration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text.trim());
  if (match === null) throw new InvalidArgumentError('Give a time such as 10s, 500ms or 2m.');
  return Number(match[1]) * UNITS_MS[match[2] ?? 's']!;
}

function header(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const colon = text.indexOf(':');
  if (colon <= 0) throw new InvalidArgumentError('Give name:value.');
  return { ...before, [text.slice(0, colon).trim()]: text.slice(colon + 1).trim() };
}

const threads = (text: string): number | 'auto' => (text === 'auto' ? 'auto' : number(text));

function configure(command: Command): Command {
  const option = (flags: string, text: string) => new Option(flags, text);
  const { host, port, clients, batch, timeoutMs, seed } = PLAN_DEFAULTS;
  return command
    .description('put load on a server and check that what it accepted is stored')
    .argument('[port]', `port of the server (default: ${port})`, number)
    .argument('[clients]', `concurrent clients (default: ${clients})`, number)
    .argument('[requests]', 'requests each client sends (default: 100)', number)
    .argument('[intervalMs]', 'time between the intended sends of one client (default: 100)', number)
    .addOption(option('--host <address>', 'address of the server').default(host))
    .addOption(option('--port <n>', 'the same as the first argument').argParser(number))
    .addOption(option('-c, --clients <n>', 'the same as the second argument').argParser(number))
    .addOption(option('-n, --requests <n>', 'the same as the third argument').argParser(number))
    .addOption(
      option(
        '--interval <ms>',
        'the same as the fourth; 0: as soon as the answer is there (default with --duration)',
      ).argParser(number),
    )
    .addOption(
      option('-r, --rate <n>', 'open loop: this many requests a second, over all clients').argParser(number),
    )
    .addOption(
      option('-d, --duration <time>', 'how long: 10s, 500ms, 2m (default with --rate: 10s)').argParser(
        duration,
      ),
    )
    .addOption(
      option('--warm-up <time>', 'load of the same kind before, not measured').argParser(duration).default(0),
    )
    .addOption(option('-b, --batch <n>', `metrics a request (default: ${batch})`).argParser(number))
    .addOption(
      option('--timeout <time>', 'from a send to the end of its answer')
        .argParser(duration)
        .default(timeoutMs, '10s'),
    )
    .addOption(
      option(
        '--retries <n>',
        'send a request again that got no answer, 409, 429, 503 or 504, each with an Idempotency-Key of its own',
      )
        .argParser(number)
        .default(0),
    )
    .addOption(option('--keep-alive', 'one connection for each client').default(true))
    .addOption(option('--no-keep-alive', 'one connection for each request'))
    .addOption(
      option('--header <name:value>', "further header, {client} is the client's number; repeatable")
        .argParser(header)
        .default({}, 'none'),
    )
    .addOption(option('--threads <n>', 'generator threads').argParser(threads).default('auto'))
    .addOption(option('--seed <n>', 'of names and values').argParser(number).default(seed))
    .addOption(
      option(
        '--data-dir <dir>',
        "the server's data directory: checks the files themselves, and measures the storage latency",
      ),
    )
    .addOption(
      option(
        '--queue-metrics <url>',
        'GET /metrics of export or consume: shows their queue latency beside that of the API; repeatable',
      ).argParser((url: string, before: readonly string[] = []) => [...before, url]),
    )
    .addOption(option('--json [file]', 'the result as JSON, to a file or in place of the table'))
    .addOption(option('--report <file.html>', 'a page with plots, and JSON beside it'))
    .addOption(option('--scenario <name>', 'one of --list-scenarios'))
    .addOption(option('--list-scenarios', 'what there is, and what each expects'))
    .addOption(option('--phase <n>', "phase of the scenario's own server").argParser(number))
    .addOption(option('--external', 'run the scenario against the server at --host and --port'))
    .addHelpText('after', HELP)
    .configureHelp({ helpWidth: 110 })
    .action(async (...args) => {
      const flags = args[4] as LoadFlags;
      const [port, clients, requests, interval] = args as (number | undefined)[];
      const { loadAction } = await import('./action.ts');
      process.exitCode = await loadAction(flags, { port, clients, requests, interval });
    });
}

/** `load` as a program of its own. */
export function loadCommand(): Command {
  return configure(new Command('load'));
}

/** Adds `load` to a program. */
export function addLoadCommand(program: Command): void {
  configure(program.command('load'));
}
