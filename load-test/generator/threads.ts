/** The generator threads, seen from the main thread. */
import { Worker } from 'node:worker_threads';
import { LoadError } from '../errors.ts';
import type { LoadPlan } from '../plan.ts';
import type { DoneMessage, FromGenerator, GeneratorData, SliceMessage, ToGenerator } from './messages.ts';

const ENTRY = new URL('./thread.js', import.meta.url);
/** New objects of a thread are small and short-lived; with room for them collections are rare and quick. */
const YOUNG_GENERATION_MB = 64;
/** From the start message to the first request, so that every thread has read it. */
export const START_DELAY_MS = 20;

export interface GeneratorThreads {
  /**
   * Begins the load at `startMs` on the clock of `monotonicMs`, START_DELAY_MS ahead or more; resolves when every
   * thread has told all.
   */
  run(startMs: number, onSlice: (slice: SliceMessage) => void): Promise<DoneMessage[]>;
  /** Sends nothing more. */
  stop(): void;
  terminate(): Promise<void>;
}

class Thread {
  readonly worker: Worker;
  readonly connected: Promise<number>;
  readonly done: Promise<DoneMessage>;
  onSlice: (slice: SliceMessage) => void = () => {};

  constructor(data: GeneratorData) {
    const worker = new Worker(ENTRY, {
      workerData: data,
      name: `generator-${data.thread}`,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
    });
    this.worker = worker;
    let connected: (connections: number) => void;
    let done: (message: DoneMessage) => void;
    const failed = new Promise<never>((_, reject) => {
      worker.once('error', reject);
      worker.once('exit', (code) => reject(new Error(`generator thread ${data.thread} ended (${code})`)));
    });
    failed.catch(() => {});
    this.connected = Promise.race([failed, new Promise<number>((resolve) => (connected = resolve))]);
    this.done = Promise.race([failed, new Promise<DoneMessage>((resolve) => (done = resolve))]);
    this.done.catch(() => {});
    worker.on('message', (message: FromGenerator) => {
      if (message.kind === 'connected') connected(message.connections);
      else if (message.kind === 'done') done(message);
      else this.onSlice(message);
    });
  }

  tell(message: ToGenerator): void {
    this.worker.postMessage(message);
  }
}

/** Clients as evenly as they can be shared out. */
function shares(clients: number, threads: number): { firstClient: number; clients: number }[] {
  return Array.from({ length: threads }, (_, thread) => {
    const firstClient = Math.floor((clients * thread) / threads);
    return { firstClient, clients: Math.floor((clients * (thread + 1)) / threads) - firstClient };
  });
}

/**
 * Starts the threads and opens all connections.
 * @throws when no connection can be opened
 */
export async function startGenerators(
  plan: LoadPlan,
  runId: string,
  threads: number,
  samples: readonly SharedArrayBuffer[],
): Promise<GeneratorThreads> {
  const started = shares(plan.clients, threads).map(
    (share, thread) =>
      new Thread({ plan, runId, thread, threads, ...share, samples: samples[thread] ?? null }),
  );
  const terminate = async (): Promise<void> => {
    await Promise.all(started.map(({ worker }) => worker.terminate()));
  };
  const connected = await Promise.all(started.map((thread) => thread.connected)).catch(async (error) => {
    await terminate();
    throw error;
  });
  if (connected.every((count) => count === 0)) {
    await terminate();
    throw new LoadError(
      `nothing listens on ${plan.host} port ${plan.port}; start the server first, or name another --port`,
    );
  }
  return {
    async run(startMs, onSlice) {
      for (const thread of started) {
        thread.onSlice = onSlice;
        thread.tell({ kind: 'start', startMs });
      }
      return Promise.all(started.map((thread) => thread.done));
    },
    stop: () => {
      for (const thread of started) thread.tell({ kind: 'stop' });
    },
    terminate,
  };
}
