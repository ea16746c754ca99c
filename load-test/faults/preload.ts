/**
 * Preloaded into every thread of a server by NODE_OPTIONS (disk-faults.ts): replaces the file operations, and the writes
 * to the write-ahead log, of the threads that store metrics. The product needs no hook for it.
 */
import { isMainThread } from 'node:worker_threads';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import { FaultPlan } from './disk-faults.ts';
import { type Call, FaultFileOps } from './fault-file-ops.ts';
import { replaceWalWrites } from './fault-wal.ts';

if (!isMainThread) {
  const ops = new FaultFileOps();
  ops.recordsCalls = false;
  const plan = new FaultPlan();
  ops.fault = plan.faultOf;
  const calls = Object.keys(nodeFileOps) as Call[];
  Object.assign(nodeFileOps, Object.fromEntries(calls.map((call) => [call, ops[call].bind(ops)])));
  replaceWalWrites(plan.walFaultOf);
}
