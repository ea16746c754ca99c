/** A test's hand on the faults of a running server; see fault-file-ops.ts. */
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FAULTS_VARIABLE, type Faults } from './fault-file-ops.ts';
import { type Owner, temporaryDirectory } from './server-process.ts';

const MODULE = fileURLToPath(new URL('./fault-file-ops.js', import.meta.url));

export class FaultSwitch {
  /** What the server has to be started with. */
  readonly env: Readonly<Record<string, string>>;
  private readonly path: string;

  constructor(owner: Owner) {
    this.path = join(temporaryDirectory(owner), 'faults.json');
    this.env = { METRICSSTREAM_TEST_FILE_OPS: MODULE, [FAULTS_VARIABLE]: this.path };
  }

  /** From the next call of the writer on. */
  set(faults: Faults): void {
    writeFileSync(`${this.path}.new`, JSON.stringify(faults));
    renameSync(`${this.path}.new`, this.path);
  }

  clear(): void {
    rmSync(this.path, { force: true });
  }
}
