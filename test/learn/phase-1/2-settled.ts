import { expectEqual } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import { ThreadRig } from './threads.ts';

export const check: StepModule['check'] = async () => {
  const unsettled = new Set([0, 2]);
  const rig = await ThreadRig.open(4, (lane) => !unsettled.has(lane));
  rig.admit();
  rig.admit();
  const third = rig.admit();
  expectEqual(
    rig.threads.map(({ lane }) => lane),
    [1, 3],
    {
      did: 'Of four lanes, 0 and 2 are not settled. Three requests arrived.',
      expected: 'threads in the lanes 1 and 3',
      so: 'a thread got a lane whose lines the writer still reads',
    },
  );
  expectEqual(third.status, 503, { did: 'The test read the answer to the third request.' });
  unsettled.clear();
  rig.admit();
  rig.admit();
  expectEqual(
    rig.threads
      .slice(2)
      .map(({ lane }) => lane)
      .sort(),
    [0, 2],
    { did: 'The lanes 0 and 2 are settled now. Two more requests arrived.', so: 'a lane was lost' },
  );
};

const FILE = 'src/dispatch/thread-per-request.ts';

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'any free lane',
    file: FILE,
    find: 'if (isSettled(lane)) return lane;',
    replace: 'if (isSettled(lane) || true) return lane;',
  },
  {
    mistake: 'lanes that are not settled are lost',
    file: FILE,
    find: '      free.push(lane);\n    }\n    return null;',
    replace: '    }\n    return null;',
  },
];
