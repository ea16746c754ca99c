/**
 * Names of the client classes that have counters of their own. A name keeps its index for the life of the process, so
 * counters never pass from one name to another, however often the tokens change.
 *
 * Names beyond the number of classes share the last index, `other`.
 */
import { CLASSES } from '../telemetry/counters.ts';

const OTHER = CLASSES.length - 1;

export class ClassNames {
  private readonly named: string[] = ['anonymous'];
  private hasOthers = false;

  /** The index of a name; a new name gets the next free one. */
  indexOf(name: string): number {
    const known = this.named.indexOf(name);
    if (known !== -1) return known;
    if (this.named.length < OTHER) return this.named.push(name) - 1;
    this.hasOthers = true;
    return OTHER;
  }

  /** The name of each index; undefined for an index that no client has used. */
  names(): readonly (string | undefined)[] {
    return CLASSES.map((index) => (index === OTHER && this.hasOthers ? 'other' : this.named[index]));
  }
}
