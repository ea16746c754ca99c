/**
 * Notices that the database has lost commits which it had acknowledged, as after a failover to a standby without them. Their
 * messages are deleted from the stream as a rule, so only the logs of the nodes still have them, and a person must act.
 */
import type pg from 'pg';
import type { Logger } from '../base/log.ts';

export class StoredCommits {
  /** By log: the last commit that this worker has stored. */
  private readonly last = new Map<string, number>();

  add(log: string, commit: number): void {
    this.last.set(log, Math.max(this.last.get(log) ?? 0, commit));
  }

  /** At each connection: says once what is missing. */
  async check(client: pg.ClientBase, place: string, logger: Logger): Promise<void> {
    if (this.last.size === 0) return;
    const { rows } = await client.query<{ log: string; commit: string }>(
      'SELECT log, commit FROM ms_cursor WHERE log = ANY($1::uuid[])',
      [[...this.last.keys()]],
    );
    const held = new Map(rows.map(({ log, commit }) => [log, Number(commit)]));
    for (const [log, had] of this.last) {
      const has = held.get(log) ?? 0;
      if (has >= had) continue;
      this.last.set(log, has);
      logger.error(
        { log, had, has },
        `${place} has lost commits, and the stream may not have them any more: run export --once --from ${has + 1} to the ` +
          'stream on the node of this log',
      );
    }
  }
}
