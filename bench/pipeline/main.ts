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
import { type BenchCase, compare } from '../harness/compare.ts';
import { linesOf, RECEIPT_MS, repeated, toBuiltinLines } from '../parser/cases.ts';
import { loadParsers } from '../parser/simd.ts';
import { digestOf, makeWorkload, type Workload } from '../workloads.ts';

const SIMD = 'pipeline, SIMD parser';
const BASELINE = 'JSON.parse, walk, stringify';
const { singlePass, simd } = await loadParsers(SIMD);
raiseInliningBudget();

const JOURNAL_BYTES = 8 << 20;
const BODY_MAX_BYTES = 1 << 20;
const BATCH_MAX = 1_000;
/** Metrics of one timed call, so that small bodies are timed in bundles. */
const METRICS_A_CALL = 1_000;
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

async function compareAt({ name, metrics, seed, body }: Workload): Promise<void> {
  const bodies = Math.max(1, METRICS_A_CALL / metrics);
  const pipelineCase = (caseName: string, createParser: () => CreateParser): BenchCase => {
    let rig: Rig;
    const store = repeated(bodies, metrics, () => rig.store(body));
    return {
      name: caseName,
      perRun: store.perRun,
      verify: () => {
        rig = new Rig(createParser());
        rig.store(body);
        assert.deepEqual(parsedLines(rig.publish(true)), parsedLines(linesOf(body)));
      },
      run: () => {
        store.run();
        rig.publish(false);
      },
    };
  };
  await compare({
    title: `pipeline, ${name}, ${metrics} metrics a body`,
    unit: 'metric',
    baseline: BASELINE,
    workload: { seed, digest: digestOf(body) },
    cases: [
      {
        name: BASELINE,
        verify: () => assert.equal(parsedLines(linesOf(body)).length, metrics),
        ...repeated(bodies, metrics, () => toBuiltinLines(body)),
      },
      pipelineCase('pipeline, single pass', singlePass),
      pipelineCase(SIMD, simd),
    ],
  });
}

for (const metrics of [1, 100, 1_000]) await compareAt(makeWorkload('tags', metrics));
