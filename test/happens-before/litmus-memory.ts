/** A checked module for the tests of the checker: views over a memory, and the Atomics that go with them. */

/** Views as the checker makes them; the threads of a test use them as an algorithm would. */
export function open(memory: SharedArrayBuffer) {
  return {
    atomics: Atomics,
    now: () => performance.now(),
    get u8() {
      return new Uint8Array(memory);
    },
    get i16() {
      return new Int16Array(memory);
    },
    get i32() {
      return new Int32Array(memory);
    },
    get u32() {
      return new Uint32Array(memory);
    },
    get f64() {
      return new Float64Array(memory);
    },
    get i64() {
      return new BigInt64Array(memory);
    },
    get view() {
      return new DataView(memory);
    },
    get buffer() {
      return Buffer.from(memory);
    },
  };
}
