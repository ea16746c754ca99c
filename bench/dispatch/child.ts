/** A process of its own for one way to have tasks done: `child.js WAY`, forked. Answers a Setting with RoundFigures. */
import assert from 'node:assert/strict';
import { monotonicMs } from '../../src/base/clock.ts';
import { serveRounds } from '../harness/forks.ts';
import { roundMsOr } from '../harness/options.ts';
import { ClosedLoop } from './closed-loop.ts';
import { BODY_BYTES, bodiesOf, DEPTH_MAX, type Setting } from './tasks.ts';
import { WAYS, type Way } from './ways.ts';

/** Ms that a round should take; where a task takes long, the least number of tasks below takes longer. */
const ROUND_MS = roundMsOr(50);
const CALIBRATION_MS = ROUND_MS / 4;

export type RoundFigures = Awaited<ReturnType<typeof timeTasks>>;

const way = process.argv[2] as Way;
assert.ok(WAYS.includes(way), `one of ${WAYS.join(', ')}`);

const loops = new Map<number, ClosedLoop>();
for (const bodyBytes of BODY_BYTES) {
  loops.set(bodyBytes, await ClosedLoop.open(way, bodyBytes, bodiesOf(bodyBytes)));
}

/** The least that shows a setting; threads never get more, they take milliseconds each. */
const leastTasks = ({ depth }: Setting): number => Math.max(depth, 2);

const taskCounts = new Map<string, number>();

async function timeTasks(tasks: number, { bodyBytes, depth }: Setting) {
  const loop = loops.get(bodyBytes)!;
  loop.readAnswerMs();
  const cpu = process.cpuUsage();
  const startMs = monotonicMs();
  await loop.run(tasks, depth);
  const tookMs = monotonicMs() - startMs;
  const { user, system } = process.cpuUsage(cpu);
  const answerMs = loop.readAnswerMs();
  return {
    tasks,
    /** From the first submit until the last task is gone, a task. */
    wallNs: (tookMs * 1e6) / tasks,
    /** CPU time of the whole process, all threads, a task. */
    cpuNs: ((user + system) * 1e3) / tasks,
    /** From submit to answer, mean; null where a task is gone with its answer. */
    answerNs: answerMs === 0 ? null : (answerMs * 1e6) / tasks,
  };
}

/** The first round of a setting finds out how many tasks make a round as long as it should be. */
async function timeRound(setting: Setting): Promise<RoundFigures> {
  const key = `${setting.bodyBytes} ${setting.depth}`;
  const known = taskCounts.get(key);
  if (known !== undefined) return timeTasks(known, setting);
  for (let tasks = leastTasks(setting); ; tasks *= 2) {
    const figures = await timeTasks(tasks, setting);
    const tookMs = (figures.wallNs * tasks) / 1e6;
    if (tookMs < CALIBRATION_MS) continue;
    taskCounts.set(key, Math.max(leastTasks(setting), Math.round((tasks * ROUND_MS) / tookMs)));
    return figures;
  }
}

/** The loop checks each answer; here each way has to answer at each size, one by one and many at once. */
async function verify(): Promise<void> {
  const inThreads = way.startsWith('thread');
  for (const loop of loops.values()) {
    await loop.run(inThreads ? 1 : 100, 1);
    await loop.run(inThreads ? 2 : 1000, inThreads ? 2 : DEPTH_MAX);
  }
}

await verify();
serveRounds(timeRound);
