import { FaultFileOps } from '../../../load-test/faults/fault-file-ops.ts';
import { expectEqual } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import { line, WriterRig } from '../../support/writer-rig.ts';
import { outcomeText } from './rig.ts';

export const check: StepModule['check'] = async () => {
  const ops = new FaultFileOps();
  const rig = new WriterRig({ ops });
  try {
    rig.store(line(0));
    const before = ops.count('fdatasync');
    ops.fault = (call, nth) => (call === 'fdatasync' && nth === before + 1 ? { error: 'EIO' } : undefined);
    rig.store(line(1));
    const did = 'One sync failed. The disk would report success for all later ones.';
    const cursor = rig.put(line(2));
    rig.turn();
    expectEqual(outcomeText(rig, cursor), 'refused', {
      did: `${did} A worker published another line.`,
      so: 'the kernel reports a lost page once, and then calls it clean: this success means nothing',
    });
    const ranges = rig.fatal().map(({ doubtful }) => doubtful?.lines ?? null);
    expectEqual(ranges, [1], {
      did: `${did} The test read what the writer reported as fatal.`,
      expected: 'one report, with the line that is in doubt',
      so: 'the server must end, and say which range may be lost',
    });
    await rig.stop();
    expectEqual(ops.count('fdatasync') - before, 1, {
      did: `${did} The writer ended, and the test counted the syncs since then.`,
      expected: 'the failed one, and none after it',
      so: 'a file whose sync failed was synced again',
    });
  } finally {
    rig.remove();
  }
};

const FILE = 'src/writer/commit-log.ts';

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'the failure is forgotten until the end',
    file: FILE,
    find: '    this.state.syncFailed = true;\n',
    replace: '',
  },
  {
    mistake: 'the writer goes on',
    file: FILE,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: source text
    find: 'this.fail(`a sync failed: ${codeOf(error)}`);',
    replace: 'codeOf(error);',
  },
];
