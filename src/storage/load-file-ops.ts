/** The file operations of this process: Node's, or what a test puts in their place. */
import { type FileOps, nodeFileOps } from './file-ops.ts';

/** For tests only: path of a module whose `createFileOps()` takes the file system's place and makes it fail. */
const TEST_FILE_OPS = 'METRICSSTREAM_TEST_FILE_OPS';

export async function loadFileOps(): Promise<FileOps> {
  const path = process.env[TEST_FILE_OPS];
  if (path === undefined) return nodeFileOps;
  const module = (await import(path)) as { createFileOps(): FileOps };
  return module.createFileOps();
}
