/** `export --from` into the stream: a database restored from a backup gets what it lacks, and nothing twice. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { describe, it } from 'node:test';
import { assertAccepted } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { assertSame, requirePipeline, rowCount, startPipeline, untilRows } from '../support/pipeline.ts';
import { post } from '../support/raw-http.ts';
import { runCli, startCli, startServer } from '../support/server-process.ts';

describe('a replay through NATS', { skip: requirePipeline() }, () => {
  it('fills the gap of a restored database, by commit and by time, and a stream refuses gaps', async (t) => {
    const { postgres, consumeArgs, exportArgs } = await startPipeline(t);
    const server = await startServer(t, { args: ['--workers', '1'] });
    const once = (...args: readonly string[]) => runCli([...exportArgs(server.dataDir), '--once', ...args]);
    const shipped = async (...args: readonly string[]): Promise<void> => {
      const { code, stdout, stderr } = await once(...args);
      assert.equal(code, 0, stdout + stderr);
    };
    const postSome = async (): Promise<void> => {
      for (let k = 0; k < 3; k++) assertAccepted(await post(server.port, namesBody(uniqueName('r'))), 1);
      await shipped();
    };
    startCli(t, [...consumeArgs, '--workers', '1', '--ack-wait', '2s']);
    await postSome();
    await untilRows(postgres, 3);
    const backup = `${postgres.dataDir}.backup`;
    await postgres.stop('SIGINT');
    execFileSync('cp', ['-a', postgres.dataDir, backup]);
    await postgres.start();
    await postSome();
    await untilRows(postgres, 6);
    await postgres.stop('SIGINT');
    rmSync(postgres.dataDir, { recursive: true });
    execFileSync('cp', ['-a', backup, postgres.dataDir]);
    await postgres.start();
    assert.equal(await rowCount(postgres), 3);
    // Commits that the database has come again, too.
    await shipped('--from', '2');
    await untilRows(postgres, 6);
    await postSome();
    await untilRows(postgres, 9);
    await shipped('--from', '2020-01-01');
    await postSome();
    await untilRows(postgres, 12);
    const gap = await once('--from', '1000');
    assert.equal(gap.code, 2);
    assert.match(
      gap.stderr,
      /--from: the sink holds the log up to commit \d+\. A later start would leave a gap\.\n$/,
    );
    await server.stop();
    await assertSame(postgres, server.dataDir);
    assert.equal(await rowCount(postgres), 12);
  });
});
