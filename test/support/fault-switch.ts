/** A test's hand on the faults of a running server; see fault-file-ops.ts. */
import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FAULTS_VARIABLE, type FailAt, type Faults } from './fault-file-ops.ts';
import { type Owner, temporaryDirectory } from './server-process.ts';

const MODULE = fileURLToPath(new URL('./fault-file-ops.js', import.meta.url));

export class FaultSwitch {
  /** What the server has to be started with. */
  readonly env: Readonly<Record<string, string>>;
  private readonly path: string;
  private armed = 0;

  constructor(owner: Owner) {
    this.path = join(temporaryDirectory(owner), 'faults.json');
    this.env = { METRICSSTREAM_TEST_FILE_OPS: MODULE, [FAULTS_VARIABLE]: this.path };
  }

  /** From the next call of the writer on. */
  set(faults: Faults): void {
    writeFileSync(`${this.path}.new`, JSON.stringify(faults));
    renameSync(`${this.path}.new`, this.path);
  }

  /** One call fails, the k-th from now on; the function returned says whether it has. */
  failAt(call: FailAt['call'], at: number, error: string): () => boolean {
    this.armed += 1;
    const struckPath = `${this.path}.struck-${this.armed}`;
    this.set({ failAt: { call, at, error, struckPath } });
    return () => existsSync(struckPath);
  }

  clear(): void {
    rmSync(this.path, { force: true });
  }
}
