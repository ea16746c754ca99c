/** A checked module for the tests of the checker: views over a memory, and the Atomics that go with them. */

/** Views as the checker makes them; the threads of a test use them as an algorithm would. */
export function open(memory: SharedArrayBuffer) {
  return {
    atomics: Atomics,
    u8: new Uint8Array(memory),
    i16: new Int16Array(memory),
    i32: new Int32Array(memory),
    u32: new Uint32Array(memory),
    f64: new Float64Array(memory),
    i64: new BigInt64Array(memory),
    view: new DataView(memory),
    buffer: Buffer.from(memory),
    now: () => performance.now(),
  };
}
