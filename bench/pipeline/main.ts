/**
 * The pipeline: a body's whole way into the journal (room, limit, parse, encode, commit, publish, and what the
 * writer's side of the ring does to free it), against `JSON.parse`, a validating walk and `JSON.stringify` into a
 * buffer.
 */
import assert from 'node:assert/strict';
import { createJournalRing, JournalConsumer, JournalProducer } from '../../src/journal/ring.ts';
import { createLimiterMemory, openLimiter } from '../../src/limiter/striped-lock.ts';
import { raiseInliningBudget } from '../../src/parser/inlining.ts';
import { type CreateParser, FORMAT_JSON } from '../../src/parser/parser.ts';
import { COMMITTED, Pipeline, type PipelineRequest } from '../../src/pipeline.ts';
import { type BenchCase, compare, mayRun } from '../harness/compare.ts';
import { builtinLines } from '../parser/baseline.ts';
import { digestOf, makeWorkload, type Workload } from '../workloads.ts';

const SIMD = 'pipeline, SIMD parser';
// The SIMD parser opens the buffers in its own memory. So it loads first, and only in processes that run it.
const simd = mayRun(SIMD) ? await import('../../src/parser/simd/simd.ts') : null;
const singlePass = await import('../../src/parser/single-pass/single-pass.ts');
raiseInliningBudget();

const JOURNAL_BYTES = 8 << 20;
const BODY_MAX_BYTES = 1 << 20;
const BATCH_MAX = 1_000;
/** Metrics of one timed call, so that small bodies are timed in bundles. */
const METRICS_A_CALL = 1_000;
const RECEIPT_MS = 1_760_000_000_000;
const CLIENT = Uint8Array.of(127, 0, 0, 1);
const LIMITS = { requestRate: 1e9, requestBurst: 1e9, metricRate: 0, metricBurst: 1, clients: 1_024 };

class Rig {
  private readonly memory = createJournalRing(JOURNAL_BYTES);
  private readonly pipeline: Pipeline;
  private readonly consumer = new JournalConsumer(this.memory);
  private readonly request: PipelineRequest = {
    format: FORMAT_JSON,
    strict: false,
    clientKey: CLIENT,
    isCharged: false,
    clientHash: 0,
    remaining: -1,
    limitNs: 0,
    parseNs: 0,
    encodeNs: 0,
    processedMs: 0,
    idempotencyKey: '',
    keyEntry: -1,
    accepted: 0,
    rejected: 0,
    journaledMs: 0,
    cursor: 0,
  };
  private nowMs = 0;

  constructor(createParser: CreateParser) {
    this.pipeline = new Pipeline(
      createParser({ maxBodyBytes: BODY_MAX_BYTES, maxBatch: BATCH_MAX }),
      openLimiter(createLimiterMemory(LIMITS), LIMITS),
      new JournalProducer(this.memory),
      { ...LIMITS, maxBatch: BATCH_MAX, dedupsBodies: false },
      null,
    );
  }

  store(body: Uint8Array): void {
    this.nowMs += 1e-3;
    const code = this.pipeline.process(this.request, body, this.nowMs, RECEIPT_MS);
    if (code !== COMMITTED) throw new Error(`the pipeline answered ${code}`);
  }

  /** The text of everything journaled since the last call; frees it. */
  publish(read: boolean): string {
    let text = '';
    this.pipeline.journal.publish();
    while (this.consumer.next()) {
      if (!read) continue;
      const { bytes, runOffset, runBytes } = this.consumer;
      text += Buffer.from(bytes.subarray(runOffset, runOffset + runBytes)).toString();
    }
    this.consumer.release();
    return text;
  }
}

const parsedLines = (text: string): unknown[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

function pipelineCase(
  name: string,
  createParser: () => CreateParser,
  { body, metrics }: Workload,
): BenchCase {
  const bodies = Math.max(1, METRICS_A_CALL / metrics);
  let rig: Rig;
  return {
    name,
    perRun: metrics * bodies,
    verify: () => {
      rig = new Rig(createParser());
      rig.store(body);
      const out = Buffer.alloc(BODY_MAX_BYTES);
      const expected = parsedLines(out.toString('utf8', 0, builtinLines(body, out, RECEIPT_MS)));
      assert.deepEqual(parsedLines(rig.publish(true)), expected);
    },
    run: () => {
      for (let i = 0; i < bodies; i++) rig.store(body);
      rig.publish(false);
    },
  };
}

function availableSimd(): CreateParser {
  assert.equal(simd?.unavailable, null);
  return simd!.createParser;
}

async function compareAt(workload: Workload): Promise<void> {
  const { name, metrics, seed, body } = workload;
  const bodies = Math.max(1, METRICS_A_CALL / metrics);
  const out = Buffer.alloc(BODY_MAX_BYTES);
  await compare({
    title: `pipeline, ${name}, ${metrics} metrics a body`,
    unit: 'metric',
    baseline: 'JSON.parse, walk, stringify',
    workload: { seed, digest: digestOf(body) },
    cases: [
      {
        name: 'JSON.parse, walk, stringify',
        perRun: metrics * bodies,
        verify: () =>
          assert.equal(
            parsedLines(out.toString('utf8', 0, builtinLines(body, out, RECEIPT_MS))).length,
            metrics,
          ),
        run: () => {
          for (let i = 0; i < bodies; i++) builtinLines(body, out, RECEIPT_MS);
        },
      },
      pipelineCase('pipeline, single pass', () => singlePass.createParser, workload),
      pipelineCase(SIMD, availableSimd, workload),
    ],
  });
}

for (const metrics of [1, 100, 1_000]) await compareAt(makeWorkload('tags', metrics));
