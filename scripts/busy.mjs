// Runs a command on a busy machine: one process spins on a core, and the disk stalls for seconds now and then.
//
//   node scripts/busy.mjs [--every SECONDS] [--stall SECONDS] COMMAND [ARGUMENT…]
//
// As root, TMPDIR of the command is a file system of its own, which is frozen for each stall: every write and sync waits
// until the stall ends. Otherwise large files are written and synced to TMPDIR, which delays the syncs of others for as
// long as the disk needs. Everything ends with the command.
import { spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmdirSync,
  rmSync,
  writeSync,
} from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SELF = fileURLToPath(import.meta.url);
const IMAGE_BYTES = 16 * 2 ** 30;
const HOG_FILES = 3;
const HOG_CHUNK = Buffer.alloc(4 << 20);
const HOG_FILE_BYTES = 512 << 20;
const EXIT_USAGE = 2;

const { values, positionals } = parseArgs({
  options: {
    every: { type: 'string', default: '30' },
    stall: { type: 'string', default: '5' },
    // Set by the outer call: the directory that the inner one freezes.
    freeze: { type: 'string' },
    hog: { type: 'string' },
  },
  allowPositionals: true,
});
const everySeconds = Number(values.every);
const stallSeconds = Number(values.stall);
if (!(everySeconds > stallSeconds && stallSeconds > 0) || (positionals.length === 0 && !values.hog)) {
  console.error(
    'usage: node scripts/busy.mjs [--every SECONDS] [--stall SECONDS] COMMAND…; --every above --stall',
  );
  process.exit(EXIT_USAGE);
}

const settings = ['--every', values.every, '--stall', values.stall];

/** The exit code of a program that gets this terminal. */
function exitCodeOf(file, args, env = process.env) {
  return new Promise((resolve) => {
    const child = spawn(file, args, { stdio: 'inherit', env });
    // The command decides how to end; this process waits for it.
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
    child.once('error', (error) => {
      console.error(error.message);
      resolve(1);
    });
    child.once('close', (code) => resolve(code ?? 1));
  });
}

function canFreeze() {
  const programs = ['unshare --mount true', 'losetup --find', 'fsfreeze --version', 'mkfs.ext4 -V'];
  return process.getuid() === 0 && programs.every((line) => spawnSync('sh', ['-c', line]).status === 0);
}

/**
 * In a mount namespace, so that the mount disappears with the processes in it. The image is in the project, which has
 * the room; the mount is where users that tests become, such as postgres, can reach it.
 */
async function withFrozenDisk() {
  const scratch = join(ROOT, '.artifacts');
  mkdirSync(scratch, { recursive: true });
  const directory = mkdtempSync(join(scratch, 'busy-'));
  const mount = mkdtempSync(join(os.tmpdir(), 'metricsstream-busy-'));
  try {
    const image = join(directory, 'disk');
    const prepare =
      'truncate -s "$1" "$2" && mkfs.ext4 -q -F "$2" && mount -o loop "$2" "$3" && chmod 1777 "$3"';
    const inner = [process.execPath, SELF, ...settings, '--freeze', mount, ...positionals];
    const script = `${prepare} && shift 3 && exec "$@"`;
    return await exitCodeOf(
      'unshare',
      ['--mount', 'sh', '-c', script, 'sh', `${IMAGE_BYTES}`, image, mount, ...inner],
      {
        ...process.env,
        TMPDIR: mount,
      },
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
    rmdirSync(mount);
  }
}

/** One process freezes and thaws, so that the disk thaws even if this process is killed in between. */
function freezeOnce(mount) {
  const script = 'fsfreeze --freeze "$1" && sleep "$2"; fsfreeze --unfreeze "$1"';
  const child = spawn('sh', ['-c', script, 'sh', mount, values.stall], { stdio: 'ignore', detached: true });
  return new Promise((resolve) => child.once('close', resolve));
}

/** Writes and syncs large files for the length of a stall. */
function hogOnce(directory) {
  const deadline = performance.now() + stallSeconds * 1e3;
  while (performance.now() < deadline) {
    const descriptor = openSync(join(directory, `hog-${process.pid}`), 'w');
    for (let bytes = 0; bytes < HOG_FILE_BYTES; bytes += HOG_CHUNK.length) writeSync(descriptor, HOG_CHUNK);
    fsyncSync(descriptor);
    closeSync(descriptor);
  }
  rmSync(join(directory, `hog-${process.pid}`));
}

async function hogDisk(directory) {
  const hogs = Array.from({ length: HOG_FILES }, () =>
    exitCodeOf(process.execPath, [SELF, ...settings, '--hog', directory]),
  );
  await Promise.all(hogs);
}

async function runBusy() {
  // A thread: it ends with this process, however that ends.
  const spinner = new Worker('for (;;);', { eval: true });
  let ended = false;
  let stalls = 0;
  const disturb = async () => {
    while (!ended) {
      await sleep((everySeconds - stallSeconds) * 1e3, undefined, { ref: false });
      if (ended) return;
      stalls++;
      await (values.freeze ? freezeOnce(values.freeze) : hogDisk(os.tmpdir()));
    }
  };
  const disturbing = disturb();
  const [file, ...args] = positionals;
  const code = await exitCodeOf(file, args);
  ended = true;
  await Promise.race([disturbing, sleep(stallSeconds * 2e3)]);
  await spinner.terminate();
  const kind = values.freeze
    ? `${stallSeconds} s without a write or sync`
    : `${stallSeconds} s of large syncs`;
  console.error(`busy: one core taken, ${stalls} stalls of ${kind}`);
  return code;
}

if (values.hog) hogOnce(values.hog);
else process.exit(await (!values.freeze && canFreeze() ? withFrozenDisk() : runBusy()));
