/**
 * One answered request as the telemetry sees it. Each recording thread and each reader owns one and reuses it, so a
 * sample costs no allocation and no call passes nine numbers.
 */
export class Sample {
  /** The limiter's hash of the client. */
  clientHash = 0;
  /** HTTP status of the response. */
  status = 0;
  /** Metrics accepted. */
  metrics = 0;
  /** Nanoseconds of each stage; 0 for a stage that the request did not reach. */
  receiveNs = 0;
  limitNs = 0;
  parseNs = 0;
  encodeNs = 0;
  queueNs = 0;
  /** Nanoseconds from the end of the headers to the response. */
  totalNs = 0;
}
