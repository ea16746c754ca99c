/**
 * PostgreSQL's hash of an int8 with a seed, `hashint8extended`, which partitions by hash rely on: it is the same in every
 * version. Numbers are two halves of 32 bits.
 */
const SIZE_OF_KEY = 4;
/** PostgreSQL's hash_bytes_uint32_extended: the golden ratio, the length, and a constant of its own. */
const START = (0x9e3779b9 + SIZE_OF_KEY + 3_923_095) | 0;

const rotate = (word: number, by: number): number => (word << by) | (word >>> (32 - by));

export class Int8Hash {
  high = 0;
  low = 0;

  /** Begins with this number as the seed. */
  seed(high: number, low: number): void {
    this.high = high | 0;
    this.low = low | 0;
  }

  /** Replaces the hash by that of a number, with the hash so far as its seed. */
  add(high: number, low: number): void {
    // Negative and other numbers that fit 32 bits hash alike for all widths.
    this.addWord((low ^ ((high | 0) >= 0 ? high : ~high)) | 0);
  }

  private addWord(word: number): void {
    let [a, b, c] = [START, START, START];
    if (this.high !== 0 || this.low !== 0) {
      // Bob Jenkins' mix of lookup3.
      a = (a + this.high) | 0;
      b = (b + this.low) | 0;
      a = ((a - c) | 0) ^ rotate(c, 4);
      c = (c + b) | 0;
      b = ((b - a) | 0) ^ rotate(a, 6);
      a = (a + c) | 0;
      c = ((c - b) | 0) ^ rotate(b, 8);
      b = (b + a) | 0;
      a = ((a - c) | 0) ^ rotate(c, 16);
      c = (c + b) | 0;
      b = ((b - a) | 0) ^ rotate(a, 19);
      a = (a + c) | 0;
      c = ((c - b) | 0) ^ rotate(b, 4);
      b = (b + a) | 0;
    }
    a = (a + word) | 0;
    // And its end.
    c = ((c ^ b) - rotate(b, 14)) | 0;
    a = ((a ^ c) - rotate(c, 11)) | 0;
    b = ((b ^ a) - rotate(a, 25)) | 0;
    c = ((c ^ b) - rotate(b, 16)) | 0;
    a = ((a ^ c) - rotate(c, 4)) | 0;
    b = ((b ^ a) - rotate(a, 14)) | 0;
    c = ((c ^ b) - rotate(b, 24)) | 0;
    this.high = b;
    this.low = c;
  }
}
