/** The decision tree of the hub: from a symptom, by a counter or a profile that shows it, to the phase that removes it. */

export interface Symptom {
  readonly symptom: string;
  /** The counter or profile that confirms it; metric names without their prefix, in backquotes. */
  readonly shows: string;
  /** The phase that removes the cause; absent if a further question decides. */
  readonly phase?: string;
  readonly causes?: readonly Symptom[];
}

export const SYMPTOMS: readonly Symptom[] = [
  {
    symptom: 'More clients bring more latency and no more throughput',
    shows: 'throughput × mean latency = clients at every load: `npm run load` with 1, 4 and 20 clients',
    causes: [
      {
        symptom: 'The processor is idle meanwhile, and one request waits for another',
        shows:
          '`stage_duration_seconds` of `sync` is most of `request_duration_seconds`; `GET /health` waits too',
        phase: '1',
      },
      {
        symptom: 'Each request pays for its own sync',
        shows: '`syncs_total` grows as fast as `requests_total`',
        phase: '2',
      },
      {
        symptom: 'The processor is busy all the time',
        shows: 'a profile: `perf record -g` or `node --cpu-prof`',
        causes: [
          {
            symptom: 'It parses, and longer bodies cost more for each byte',
            shows: '`stage_duration_seconds` of `parse`; indexOf at the top of the profile',
            phase: '3',
          },
          {
            symptom: 'It starts and ends threads',
            shows: 'clone and exit in the profile; a thread for each request in `/proc/PID/task`',
            phase: '6',
          },
        ],
      },
    ],
  },
  {
    symptom: 'A second worker brings less than it should',
    shows: 'CPU time for each request grows with the number of workers',
    causes: [
      {
        symptom: 'Threads sleep or spin in a lock',
        shows: 'lockContended in the profile; the `contended` column of `npm run bench -- --only=limiter`',
        causes: [
          {
            symptom: 'The lock of the limiter, many clients',
            shows: 'chargeRequest above it in the stack',
            phase: '4',
          },
          { symptom: 'The lock of the limiter, one client', shows: 'no number of locks helps', phase: '7.1' },
          { symptom: 'The lock of the telemetry', shows: 'record above it in the stack', phase: '5' },
        ],
      },
      {
        symptom: 'No lock is found taken, and a record is still dearer with two threads',
        shows: 'cache misses: `perf stat -e cache-misses`; both threads write the same lines',
        phase: '5',
      },
    ],
  },
  {
    symptom: 'Clients get 504, or latency grows without end',
    shows: '`queue_head_age_seconds` grows while `queue_depth` stays at its capacity',
    phase: '6',
  },
];
