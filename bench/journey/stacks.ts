/**
 * Classifies sampled call stacks by the names in them.
 *
 * A frame is text such as `fdatasync`, `v8::internal::Heap::CollectGarbage` or, for JavaScript,
 * `JS:*parse file:///…/dist/src/parser/naive.js:199:15`; the first frame is the innermost. Garbage collection and the
 * profiler itself count wherever they appear in a stack. Everything else counts as the innermost frame that a rule
 * knows: a page fault in the parser is parsing, and a module compiled in a new thread is that thread's start.
 */

export const THREAD_RUNTIME = 'thread start: isolate, context, Node.js itself';
export const THREAD_MODULES = 'thread start: loading and compiling modules';
const THREAD_PIPELINE = 'thread start: buffers and tables of the pipeline';
const THREAD_END = 'thread end';
export const GARBAGE = 'garbage collection';
export const COMPILE = 'compiling hot JavaScript';
export const LAZY_COMPILE = 'compiling JavaScript at its first call';
export const PARSE = 'parse';
export const LIMIT = 'limit';
const ENCODE = 'encode';
export const TELEMETRY = 'telemetry';
export const STORE = 'write and sync';
const WAKE = 'waiting for events, waking and switching threads';
const NETWORK = 'receive and send';
const REQUEST = "the rest of a request's way";
const OTHER = 'other';
/** Excluded from all shares: the server does it only under the profiler. */
export const PROFILER = 'the profiler itself';

export const isThreadStart = (name: string): boolean => name.startsWith('thread ');

type Rule = readonly [name: string, pattern: RegExp];

const source = (...paths: readonly string[]): string => `/dist/src/(?:${paths.join('|')})`;

/** In this order, anywhere in the stack. */
const ANYWHERE: readonly Rule[] = [
  [
    PROFILER,
    /LinuxPerf|GetPositionInfo|CalculateLineEnds|ExistingCodeLogger|CodeEventLogger|CpuProfiler|SamplingEventsProcessor/,
  ],
  [
    GARBAGE,
    /Heap::(?:CollectGarbage|PerformGarbageCollection)|ConcurrentMarking|Scavenge|Sweeper|MarkCompact|IncrementalMarking|ArrayBufferSweeper/,
  ],
  [
    COMPILE,
    /OptimizingCompileDispatcher|OptimizedCompilationJob|BaselineBatchCompiler|TieringManager|Runtime_CompileOptimized/,
  ],
  [
    THREAD_END,
    /FreeEnvironment|Isolate::(?:Deinit|Dispose|Delete|Free)|~WorkerThreadData|Heap::TearDown|Worker::JoinThread|^exit_mmap|Environment::RunCleanup|CleanupHandles/,
  ],
  [THREAD_PIPELINE, /openPipeline/],
];

/** By the innermost frame that one of these matches. */
const INNERMOST: readonly Rule[] = [
  [LAZY_COMPILE, /Runtime_CompileLazy|Runtime_CompileBaseline/],
  [
    THREAD_MODULES,
    /ModuleWrap|ContextifyScript|SourceTextModule|CompileModule|node:internal\/(?:modules|deps\/cjs|process\/esm|url)|:node:url/,
  ],
  [
    THREAD_RUNTIME,
    /CreateEnvironment|LoadEnvironment|BuiltinLoader|BootstrapRealm|RunBootstrapping|Isolate::(?:Init|New|Allocate)|v8::Context::(?:New|FromSnapshot)|NewContext|Snapshot::|node:internal\/(?:bootstrap|main|process|worker)|WorkerThreadData|Worker::(?:New|StartThread)\b(?!.*FUN)|clone3?$|WorkerThreadsTaskRunner/,
  ],
  [STORE, /fdatasync|fsync|^__x64_sys_p?write|^ksys_write|^vfs_write|node::fs::(?:Fdatasync|Write)/],
  [
    WAKE,
    /futex|epoll_p?wait|ep_poll|eventfd|FutexEmulation|Atomics(?:Wait|Notify)|uv_async_send|uv__async_send|MessagePort|node::worker::Message/,
  ],
  [
    NETWORK,
    /sendto|sendmsg|recvfrom|recvmsg|tcp_|inet_|sock_|^us_|^us_internal|uWS::|HttpResponseWrapper|HttpRequestWrapper|^__send$|^__libc_recv|accept4/,
  ],
  [PARSE, new RegExp(source('parser/'))],
  [LIMIT, new RegExp(source('limiter/'))],
  [ENCODE, new RegExp(source('encoder/'))],
  [TELEMETRY, new RegExp(source('telemetry/'))],
  [STORE, new RegExp(source('writer/', 'storage/'))],
  [WAKE, new RegExp(source('base/bell'))],
  [NETWORK, new RegExp(source('http/'))],
  [REQUEST, new RegExp(source('pipeline', 'dispatch/', 'admission/', 'journal/', 'server', 'base/'))],
  [THREAD_MODULES, new RegExp(`${source('threads/request-worker')}|threads/request-worker`)],
  [REQUEST, new RegExp(source('threads/'))],
  // Only modules are read from files.
  [THREAD_MODULES, /node::fs::|node:fs:|node:internal\/fs|uv__fs_|^uv_fs_/],
  [THREAD_RUNTIME, /node::worker::Worker::Run/],
];

const withoutThreads = (rules: readonly Rule[]): readonly Rule[] =>
  rules.filter(([name]) => !isThreadStart(name));

const LASTING_ANYWHERE = withoutThreads(ANYWHERE);
const LASTING_INNERMOST = withoutThreads(INNERMOST);

/** @param startsThreads whether the server starts threads while it serves; otherwise nothing can be a thread's start */
export function classify(frames: readonly string[], startsThreads: boolean): string {
  const anywhere = startsThreads ? ANYWHERE : LASTING_ANYWHERE;
  const innermost = startsThreads ? INNERMOST : LASTING_INNERMOST;
  for (const [name, pattern] of anywhere) if (frames.some((frame) => pattern.test(frame))) return name;
  for (const frame of frames) {
    for (const [name, pattern] of innermost) if (pattern.test(frame)) return name;
  }
  return OTHER;
}
