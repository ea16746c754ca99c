/** The options of the load generator, as the command line parses them. */
export interface LoadFlags {
  readonly host: string;
  readonly port?: number;
  readonly clients?: number;
  readonly requests?: number;
  readonly interval?: number;
  readonly rate?: number;
  /** Milliseconds. */
  readonly duration?: number;
  readonly warmUp: number;
  readonly timeout: number;
  readonly batch?: number;
  readonly retries: number;
  readonly keepAlive: boolean;
  readonly header: Readonly<Record<string, string>>;
  readonly threads: number | 'auto';
  readonly seed: number;
  readonly dataDir?: string;
  readonly queueMetrics?: readonly string[];
  readonly json?: string | true;
  readonly report?: string;
  readonly scenario?: string;
  readonly listScenarios?: boolean;
  readonly phase?: number;
  readonly external?: boolean;
}

export interface Positionals {
  readonly port: number | undefined;
  readonly clients: number | undefined;
  readonly requests: number | undefined;
  readonly interval: number | undefined;
}
