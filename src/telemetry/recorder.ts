/** The face of what takes per-request samples from an ingest worker; exact counts are plain counters (counters.ts). */
export interface Recorder {
  /**
   * Records one answered request; may drop it, which is counted. Times in nanoseconds, 0 for a stage not reached.
   * @param clientHash the limiter's name for the client  @param metrics accepted  @param totalNs first byte to answer
   */
  record(
    clientHash: number,
    status: number,
    metrics: number,
    receiveNs: number,
    limitNs: number,
    parseNs: number,
    encodeNs: number,
    queueNs: number,
    totalNs: number,
  ): void;
}
