/** Turns disk faults of a running server on and off (load-test/faults). */
import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DiskFaults, type FailAt, faultEnvironment } from '../../load-test/faults/disk-faults.ts';
import type { Owner } from './clean-up.ts';
import { memoryDirectory } from './server-process.ts';

export class FaultSwitch {
  /** Start the server with this environment. */
  readonly env: Readonly<Record<string, string>>;
  private readonly path: string;
  private armed = 0;

  constructor(owner: Owner) {
    this.path = join(memoryDirectory(owner), 'faults.json');
    this.env = faultEnvironment(this.path);
  }

  /** Takes effect with the writer's next call. */
  set(faults: DiskFaults): void {
    writeFileSync(`${this.path}.new`, JSON.stringify(faults));
    renameSync(`${this.path}.new`, this.path);
  }

  /** Makes the k-th call from now on fail; the function returned says whether it has failed. */
  failAt(call: FailAt['call'], at: number, error: string): () => boolean {
    this.armed += 1;
    const struckPath = `${this.path}.struck-${this.armed}`;
    this.set({ failAt: { call, at, error, struckPath } });
    return () => existsSync(struckPath);
  }

  /** Makes every sync from now on wait for the function returned. */
  hangSyncs(): () => void {
    const syncHangsWhile = `${this.path}.hangs`;
    writeFileSync(syncHangsWhile, '');
    this.set({ syncHangsWhile });
    return () => {
      this.clear();
      rmSync(syncHangsWhile, { force: true });
    };
  }

  clear(): void {
    rmSync(this.path, { force: true });
  }
}
