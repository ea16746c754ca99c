import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { contentsOf, placesOf, render, stepsIn, transplant } from '../../src/learn/markers.ts';

const SOURCE = `first
  //> 5.1 the outer place
  //: stub of 5.1
  outer
  //> 5.2
  //: stub of 5.2
  inner
  //<
  //<
between
//> 5.2 a second place
second
//<
last
`;

const solvedUpTo = (last: string) => (step: string) => step <= last;
const lines = (text: string): string[] => text.split('\n').map((line) => line.trim());

describe('markers', () => {
  it('leave a file as it is if every step is solved', () => {
    assert.equal(
      render(SOURCE, () => true, 'f.ts'),
      SOURCE,
    );
  });

  it('replace an unsolved region by its stub, and hide regions within it', () => {
    const place = (step: string, text: string) => `// ${'TO'}${'DO'} ${step}${text}`;
    assert.deepEqual(lines(render(SOURCE, () => false, 'f.ts')), [
      ...['first', '//> 5.1', place('5.1', ': the outer place'), 'stub of 5.1', '//<', 'between'],
      ...['//> 5.2', place('5.2', ': a second place'), '//<', 'last', ''],
    ]);
    assert.deepEqual(lines(render(SOURCE, solvedUpTo('5.1'), 'f.ts')).slice(0, 9), [
      ...['first', '//> 5.1 the outer place', '//: stub of 5.1', 'outer'],
      ...['//> 5.2', place('5.2', ''), 'stub of 5.2', '//<', '//<'],
    ]);
  });

  it('name steps, places and contents', () => {
    assert.deepEqual(stepsIn(SOURCE, 'f.ts'), ['5.1', '5.2']);
    assert.deepEqual(placesOf(SOURCE, '5.2', 'f.ts'), [6, 12]);
    assert.deepEqual(contentsOf(SOURCE, '5.2', 'f.ts'), ['  //: stub of 5.2\n  inner', 'second']);
  });

  it('carry a region from one file to another', () => {
    const stub = render(SOURCE, solvedUpTo('5.1'), 'f.ts');
    const mine = stub.replace('stub of 5.2', 'mine');
    assert.equal(transplant(mine, SOURCE, '5.2', 'f.ts'), SOURCE);
    assert.equal(
      transplant(mine.replace(/\/\/> 5\.2\n/, '').replace('//<\n', ''), SOURCE, '5.2', 'f.ts'),
      null,
    );
  });

  it('without a partner are refused by their line', () => {
    const refused = (message: RegExp) => ({ code: 'LEARN_UNAVAILABLE', message });
    assert.throws(
      () => stepsIn('a\n//> 5.1\n', 'f.ts'),
      refused(/^f\.ts:2: "\/\/> 5\.1" has no "\/\/<": put the line back/),
    );
    assert.throws(
      () => stepsIn('//<\n', 'f.ts'),
      refused(/^f\.ts:1: "\/\/<" closes no "\/\/>": put the line back/),
    );
  });
});
