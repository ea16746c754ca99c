/** The configuration that `serve` runs and `config` prints: loaded, and fitted to the memory that there is. */
import { MetricsStreamError } from '../base/errors.ts';
import { type MemoryLimit, memoryLimit } from '../base/memory-limit.ts';
import { MIB } from '../base/units.ts';
import {
  type Config,
  type Given,
  type LoadedConfig,
  largestBodiesBytes,
  loadConfig,
} from '../config/load.ts';
import { type OptionKey, specOf } from '../config/options.ts';
import type { DispatcherModule } from '../dispatch/dispatcher.ts';
import { loadDispatch, slotsOf } from '../phases.ts';
import { limiterBytes, plannedBytes } from '../threads/memory-plan.ts';

export interface MemoryPlan {
  readonly plannedBytes: number;
  readonly limit: MemoryLimit;
}

export interface EffectiveConfig extends LoadedConfig {
  readonly plan: MemoryPlan;
}

/** @throws MetricsStreamError CONFIG_INVALID, also when the memory does not suffice */
export async function effectiveConfig(given: Given): Promise<EffectiveConfig> {
  const loaded = loadConfig(given);
  const dispatch = await loadDispatch(slotsOf(loaded.config));
  const limit = memoryLimit();
  let { config } = loaded;
  for (const candidate of candidates(loaded, dispatch)) {
    config = candidate;
    if (plannedBytes(config, dispatch) <= limit.bytes) {
      return { ...loaded, config, plan: { plannedBytes: plannedBytes(config, dispatch), limit } };
    }
  }
  return refuse(config, dispatch, limit);
}

type ThreadsOption = 'workers' | 'requestThreads';

/** The number of threads that decides how much memory a phase needs. */
function threadsOption(config: Config, dispatch: DispatcherModule): ThreadsOption {
  return dispatch.requestThreads(config) > 0 ? 'requestThreads' : 'workers';
}

/** The configuration as it is, then with less and less of what the operator did not choose. */
function* candidates(
  { config, sources, changed }: LoadedConfig,
  dispatch: DispatcherModule,
): Generator<Config> {
  yield config;
  const isOpen = (key: OptionKey): boolean => ['default', 'derived'].includes(sources.get(key) ?? '');
  const option = threadsOption(config, dispatch);
  let least = config;
  if (isOpen(option)) {
    for (let threads = config[option] - 1; threads >= 1; threads--) {
      least = changed({ [option]: threads });
      yield least;
    }
  }
  if (!isOpen('inflightBodyBytes')) return;
  yield changed({
    [option]: least[option],
    inflightBodyBytes: largestBodiesBytes(least.workers, least.maxBodyBytes),
  });
}

/** The limiter's tables are worth naming from here on; with the default number of clients they are smaller. */
const LIMITER_NAMED_BYTES = 32 * MIB;

function refuse(config: Config, dispatch: DispatcherModule, limit: MemoryLimit): never {
  const option = threadsOption(config, dispatch);
  const lower = [
    ...(config[option] > 1 ? [`${specOf(option).flag} ${config[option]}`] : []),
    `${specOf('maxBodyBytes').flag} ${config.maxBodyBytes}`,
    ...(limiterBytes(config) > LIMITER_NAMED_BYTES
      ? [`${specOf('limiterClients').flag} ${config.limiterClients}`]
      : []),
  ];
  const needed = mebibytes(plannedBytes(config, dispatch));
  throw new MetricsStreamError(
    'CONFIG_INVALID',
    `the memory plan needs ${needed}, the ${limit.source} has ${mebibytes(limit.bytes)}; lower ${lower.join(' or ')}, or raise the limit`,
  );
}

const mebibytes = (bytes: number): string => `${Math.ceil(bytes / MIB)} MiB`;

/** For the start-up line. */
export function planText({ plannedBytes: planned, limit }: MemoryPlan): string {
  return `at most ${mebibytes(planned)} of ${mebibytes(limit.bytes)} (${limit.source})`;
}
