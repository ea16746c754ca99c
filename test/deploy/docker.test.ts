/**
 * The Dockerfile without a Docker engine. The test checks its text, performs its steps in a temporary directory, and runs
 * the server as process 1 of a process namespace, as in a container.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually } from '../support/assertions.ts';
import { ROOT, readDeployed, runTool } from '../support/deploy-files.ts';
import { fetchOnce } from '../support/raw-http.ts';
import { PATIENT_ENVIRONMENT, temporaryDirectory } from '../support/server-process.ts';
import { BUG_FILE_VARIABLE } from '../support/thread-bug.ts';
import { requireTool } from '../support/tools.ts';

interface Instruction {
  readonly name: string;
  readonly rest: string;
}

/** Instructions of each stage, without comments and with continued lines joined. */
function stagesOf(dockerfile: string): Instruction[][] {
  const stages: Instruction[][] = [];
  const text = dockerfile.replace(/^#.*\n/gm, '').replace(/\\\n\s*/g, ' ');
  for (const line of text.split('\n').filter((line) => line !== '')) {
    const [, name = '', rest = ''] = /^(\S+) (.*)$/.exec(line) ?? [];
    if (name === 'FROM') stages.push([]);
    stages.at(-1)?.push({ name, rest });
  }
  return stages;
}

const stages = stagesOf(readDeployed('docker', 'Dockerfile'));
const [build = [], runtime = []] = stages;
const all = (stage: readonly Instruction[], wanted: string): string[] =>
  stage.filter(({ name }) => name === wanted).map(({ rest }) => rest);
const only = (stage: readonly Instruction[], wanted: string): string => {
  const [first, ...others] = all(stage, wanted);
  assert.ok(first !== undefined && others.length === 0, `one ${wanted}`);
  return first;
};
const environment = Object.fromEntries(
  only(runtime, 'ENV')
    .split(/\s+/)
    .map((pair) => pair.split('=', 2) as [string, string]),
);

describe('the Dockerfile', () => {
  it('builds in one stage and runs in another, which holds the build and the pages, no other sources', () => {
    assert.equal(stages.length, 2);
    assert.ok(all(build, 'RUN').some((command) => command.startsWith('npm ci')));
    assert.ok(all(build, 'RUN').some((command) => command.startsWith('npm prune --omit=dev')));
    for (const copy of all(runtime, 'COPY')) {
      assert.match(
        copy,
        /^(--from=build \/app\/(package\.json|node_modules|dist|src\/(?:live|explore)\/page)|deploy\/docker\/) ?/,
      );
    }
  });

  it('copies files that exist and that .dockerignore does not exclude', () => {
    const ignore = readFileSync(join(ROOT, '.dockerignore'), 'utf8').trim().split('\n');
    assert.equal(ignore[0], '*');
    const copies = [...all(build, 'COPY'), ...all(runtime, 'COPY')].filter((rest) => !rest.startsWith('--'));
    const sources = copies.flatMap((rest) => rest.split(' ').slice(0, -1));
    for (const source of sources) {
      assert.ok(existsSync(join(ROOT, source)), source);
      assert.ok(ignore.includes(`!${source}`), `${source} in .dockerignore`);
    }
    assert.equal(ignore.length, sources.length + 1);
  });

  it('compiles with all files that the sources import', () => {
    const { include } = JSON.parse(readFileSync(join(ROOT, 'tsconfig.json'), 'utf8')) as {
      include: string[];
    };
    const copied = all(build, 'COPY').join(' ');
    for (const folder of include.filter((folder) => folder !== 'test')) assert.ok(copied.includes(folder));
    const found = spawnSync('grep', ['-rlE', "from '(\\.\\./)+test/", 'src', 'load-test', 'bench'], {
      cwd: ROOT,
    });
    assert.equal(found.stdout.toString(), '');
  });

  it('runs as a user without rights, keeps data in a volume, and ends by SIGTERM', () => {
    assert.equal(only(runtime, 'USER'), 'node');
    assert.equal(only(runtime, 'VOLUME'), environment.METRICSSTREAM_DATA_DIR);
    assert.equal(only(runtime, 'EXPOSE'), environment.METRICSSTREAM_PORT);
    assert.equal(only(runtime, 'STOPSIGNAL'), 'SIGTERM');
    assert.match(only(runtime, 'RUN'), /chown node:node \/data$/);
    // A shell in between would not forward the signal.
    assert.match(only(runtime, 'ENTRYPOINT'), /^\["node", /);
  });
});

/**
 * The contents of the runtime stage, made by the Dockerfile's steps without the network.
 * @param without the build argument of that name
 */
function buildByHand(without: string): string {
  const app = temporaryDirectory({ after }, 'metricsstream-image-');
  const prune = all(build, 'RUN').find((command) => command.startsWith('npm prune')) ?? '';
  const omitted = prune.split(' ').filter((word) => word.startsWith('--omit='));
  assert.equal(omitted.length, 2);
  const omit = omitted.map((word) => word.replace(`\${WITHOUT}`, without));
  const listed = runTool('npm', ['ls', ...omit, '--all', '--parseable']).split('\n');
  const packages = listed
    .filter((path) => path.includes('/node_modules/'))
    .map((path) => relative(ROOT, path));
  const outermost = packages.filter((path) => path.lastIndexOf('node_modules/') === 0);
  assert.ok(outermost.length > 5);
  // Uses links if the temporary directory is on the same file system: the packages have 250 MB.
  const copy = (flags: string) => spawnSync('cp', [flags, '--parents', ...outermost, app], { cwd: ROOT });
  if (copy('-al').status !== 0) assert.equal(copy('-a').status, 0);
  const [, find = ''] = /^(find .*)$/m.exec(all(build, 'RUN').join('\n')) ?? [];
  runTool('sh', ['-c', find], app);
  for (const part of ['src', 'load-test', 'bench']) {
    cpSync(join(ROOT, 'dist', part), join(app, 'dist', part), { recursive: true });
  }
  // Absent where the addons were not built.
  const addons = join(ROOT, 'dist/native');
  if (existsSync(addons)) cpSync(addons, join(app, 'dist/native'), { recursive: true });
  cpSync(join(ROOT, 'src/live/page'), join(app, 'src/live/page'), { recursive: true });
  cpSync(join(ROOT, 'src/explore/page'), join(app, 'src/explore/page'), { recursive: true });
  cpSync(join(ROOT, 'package.json'), join(app, 'package.json'));
  cpSync(join(ROOT, 'deploy/docker/healthcheck.mjs'), join(app, 'healthcheck.mjs'));
  mkdirSync(join(app, 'data'));
  return app;
}

const [program = '', ...entryArgs] = JSON.parse(only(runtime, 'ENTRYPOINT')) as string[];

/** The contents of an image, and what runs in it. */
class Image {
  readonly app: string;
  private readonly env: Readonly<Record<string, string>>;

  /** @param without the build argument of that name */
  constructor(without: string) {
    this.app = buildByHand(without);
    this.env = {
      PATH: process.env.PATH ?? '',
      ...environment,
      METRICSSTREAM_DATA_DIR: join(this.app, 'data'),
    };
  }

  run(args: readonly string[], more: Record<string, string> = {}) {
    const options = { cwd: this.app, env: { ...this.env, ...more }, timeout: 180_000 };
    return spawnSync(program, args, { ...options, encoding: 'utf8' });
  }

  /** Runs a subcommand. */
  command(...args: string[]) {
    return this.run([...entryArgs, ...args]);
  }

  /** Starts the server on a loopback port; resolves with the port once it listens. */
  async start(wrapper: readonly string[], more: Record<string, string> = {}) {
    const command = [...wrapper, program, ...entryArgs, ...(JSON.parse(only(runtime, 'CMD')) as string[])];
    const child = spawn(command[0]!, command.slice(1), {
      cwd: this.app,
      env: {
        ...{ ...this.env, ...PATIENT_ENVIRONMENT },
        ...{ METRICSSTREAM_HOST: '127.0.0.1', METRICSSTREAM_PORT: '0', ...more },
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
      child.once('close', (code, signal) => resolve({ code, signal }));
    });
    after(async () => {
      child.kill('SIGKILL');
      await exited;
    });
    const port = await new Promise<number>((resolve, reject) => {
      const look = (text: string) => {
        output += text;
        const [, listening] = /"port":(\d+),/.exec(output) ?? [];
        if (listening !== undefined) resolve(Number(listening));
      };
      child.stdout.setEncoding('utf8').on('data', look);
      child.stderr.setEncoding('utf8').on('data', look);
      exited.then((exit) => reject(new Error(`ended ${JSON.stringify(exit)}:\n${output}`)));
    });
    return { child, port, exited };
  }
}

async function storeOne(port: number): Promise<void> {
  const accepted = await fetchOnce(port, {
    method: 'POST',
    path: '/metrics',
    headers: { 'Content-Type': 'application/json' },
    body: '{"metrics":[{"name":"in.image","value":1}]}',
  });
  assert.equal(accepted.status, 200);
}

describe('the image, built by hand', () => {
  const image = new Image(only(build, 'ARG').replace('WITHOUT=', ''));

  it('holds no development dependency', () => {
    for (const name of ['typescript', '@biomejs', 'fastify', 'playwright-core']) {
      assert.ok(!existsSync(join(image.app, 'node_modules', name)), name);
    }
  });

  it('accepts its own environment, and warns about an open address without tokens', () => {
    const { status, stdout, stderr } = image.command('config', '--check');
    assert.equal(status, 0, stderr);
    assert.match(stdout, /configuration is valid/);
    assert.match(stderr, /warning: .*0\.0\.0\.0/);
  });

  it('answers queries: the build keeps the library of DuckDB', () => {
    const { status, stdout, stderr } = image.command('query', 'SELECT count(*) AS n FROM metrics');
    assert.equal(status, 0, stderr);
    assert.equal(stdout, 'n\n0\n');
  });

  it('serves, passes the health check, and stops in order', async () => {
    const { child, port, exited } = await image.start([]);
    await storeOne(port);
    const [, command = ''] = /CMD (\[.*\])$/.exec(only(runtime, 'HEALTHCHECK')) ?? [];
    const [, ...words] = JSON.parse(command) as string[];
    // On a busy machine the server may take longer than the check's 2 s.
    const check = [...words, '20000'];
    assert.equal(image.run(check, { METRICSSTREAM_PORT: `${port}` }).status, 0);
    child.kill('SIGTERM');
    assert.deepEqual(await exited, { code: 0, signal: null });
    assert.equal(image.run(check, { METRICSSTREAM_PORT: `${port}` }).status, 1);
  });

  it('exits when a thread dies, although no signal of its own can kill process 1', async (t) => {
    const missing = requireTool('unshare', 'util-linux');
    const namespace = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'];
    if (missing !== false) return t.skip(missing);
    if (spawnSync(namespace[0]!, [...namespace.slice(1), 'true']).status !== 0) {
      return t.skip('process namespaces are not permitted here');
    }
    const bugFile = join(image.app, 'bug');
    const preload = fileURLToPath(new URL('../support/thread-bug.js', import.meta.url));
    const { exited } = await image.start(namespace, {
      NODE_OPTIONS: `--import=${preload}`,
      [BUG_FILE_VARIABLE]: bugFile,
      METRICSSTREAM_WORKERS: '2',
    });
    writeFileSync(bugFile, '');
    const { code } = await exited;
    assert.notEqual(code, 0);
  });
});

describe('the image without DuckDB, built by hand', () => {
  const image = new Image('optional');

  it('lacks the library, and has what the server needs', async () => {
    assert.ok(!existsSync(join(image.app, 'node_modules/@duckdb')));
    const { port } = await image.start([]);
    await storeOne(port);
    // Lines reach the files behind the answers.
    await eventually('tail prints it', () => /"in\.image"/.test(image.command('tail').stdout));
  });

  it('names the remedy in one line where a command needs DuckDB', () => {
    for (const args of [
      ['query', 'SELECT 1'],
      ['archive', '--once'],
      ['explore', '--port', '0'],
    ]) {
      const { status, stdout, stderr } = image.command(...args);
      assert.equal(status, 1, args[0]);
      assert.equal(stdout, '', args[0]);
      assert.match(stderr, /^[^\n]*needs DuckDB: it is not installed\. Run npm install[^\n]*\n$/, args[0]);
    }
  });
});
