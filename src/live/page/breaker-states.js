/** The storage breaker's states by their number (`BreakerState`), as the page shows them. */
export const BREAKER_STATES = [
  { name: 'closed', tone: 'good', note: 'Metrics are accepted.' },
  {
    name: 'open',
    tone: 'bad',
    note: 'Storage fails: requests are refused until a probe of storage succeeds.',
  },
  { name: 'half-open', tone: 'warn', note: 'A few requests test whether storage works again.' },
];
