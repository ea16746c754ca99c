const TWO_32 = 2 ** 32;
const PER_TWO_32 = 2 ** -32;

/** 64-bit integers from safe ones, as two words each: a BigInt for each number would cost more than the rest. */
export class Int64s {
  readonly words: Int32Array<ArrayBuffer>;

  constructor(count: number) {
    this.words = new Int32Array(2 * count);
  }

  set(index: number, value: number): void {
    const high = Math.floor(value * PER_TWO_32);
    this.words[2 * index] = value - high * TWO_32;
    this.words[2 * index + 1] = high;
  }
}
