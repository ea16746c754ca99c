/**
 * The globals that checked modules see in place of the real ones: views over shared memory report each access to the
 * running execution, and Atomics asks it who continues.
 */
import zlib from 'node:zlib';
import type { Execution } from './execution.ts';
import type { Shadow } from './shadow.ts';

type View =
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;
type ViewConstructor = new (...parameters: never[]) => View;
type Method = (...parameters: unknown[]) => unknown;

const ZERO = 48;
const NINE = 57;
const WASM_PAGE_BYTES = 65_536;

/** The execution whose threads use the environment; null: accesses are not modelled. */
export interface Runtime {
  execution: Execution | null;
}

function indexOf(key: string | symbol): number {
  if (typeof key !== 'string') return -1;
  const first = key.charCodeAt(0);
  return first >= ZERO && first <= NINE ? Number(key) : -1;
}

export class Environment {
  private readonly runtime: Runtime;
  /** The real view behind each watched one. */
  private readonly real = new WeakMap<object, View>();
  /** Watched views by memory, type and range: threads open the same ones again and again. */
  private readonly views = new WeakMap<ArrayBufferLike, Map<string, View | DataView>>();

  constructor(runtime: Runtime) {
    this.runtime = runtime;
  }

  /** The globals, by name. */
  readonly globals = (): Record<string, unknown> => ({
    ...Object.fromEntries(VIEWS.map((type) => [type.name, this.constructorOf(type as never)])),
    DataView: this.dataViews(),
    Buffer: this.buffers(),
    Atomics: this.atomics(),
    performance: { now: () => this.runtime.execution?.now() ?? 0 },
    // Only for its memory, which is page aligned: that makes no difference here.
    WebAssembly: { Memory: WasmMemory },
  });

  /** `node:zlib`, which reads watched views. */
  zlib(): unknown {
    const crc32 = (bytes: Uint8Array, value?: number) => {
      const copy = this.copyOf(bytes, 'zlib.crc32');
      return zlib.crc32(copy as Uint8Array, value);
    };
    return { ...zlib, crc32 };
  }

  private shadowOf(memory: ArrayBufferLike): Shadow | null {
    if (!(memory instanceof SharedArrayBuffer)) return null;
    return this.runtime.execution?.shadowOf(memory) ?? null;
  }

  private constructorOf(type: ViewConstructor): unknown {
    return new Proxy(type, {
      construct: (target, parameters: unknown[]) => {
        const view = new target(
          ...(parameters.map((value) => this.real.get(value as object) ?? value) as never[]),
        );
        return view.buffer instanceof SharedArrayBuffer ? this.watch(view) : view;
      },
    });
  }

  private buffers(): unknown {
    return new Proxy(Buffer, {
      get: (target, key) => {
        if (key !== 'from') return Reflect.get(target, key);
        return (value: never, ...rest: never[]) => {
          const buffer = (Buffer.from as Method)(value, ...rest) as Buffer;
          return buffer.buffer instanceof SharedArrayBuffer ? this.watch(buffer) : buffer;
        };
      },
    });
  }

  /** A view that reports its accesses. */
  private watch(view: View): View {
    return this.shared(view, () => this.newWatched(view));
  }

  private shared<T extends View | DataView>(view: T, create: () => T): T {
    const { buffer, byteOffset, byteLength } = view;
    const key = `${view.constructor.name} ${byteOffset} ${byteLength}`;
    const views = this.views.get(buffer) ?? new Map<string, View | DataView>();
    this.views.set(buffer, views);
    const watched = (views.get(key) as T | undefined) ?? create();
    views.set(key, watched);
    return watched;
  }

  private newWatched(view: View): View {
    const size = view.BYTES_PER_ELEMENT;
    const { buffer, byteOffset } = view;
    const watched = new Proxy(view, {
      get: (target, key) => {
        const index = indexOf(key);
        if (index < 0) return this.member(target, key);
        const shadow = this.shadowOf(buffer);
        if (shadow === null) return target[index];
        const byte = byteOffset + index * size;
        return this.runtime.execution!.plain(shadow, byte, size, false, 'plain load', () => target[index]);
      },
      set: (target, key, value) => {
        const index = indexOf(key);
        const shadow = this.shadowOf(buffer);
        if (index < 0 || shadow === null) {
          (target as unknown as Record<string | symbol, unknown>)[key] = value;
          return true;
        }
        const byte = byteOffset + index * size;
        this.runtime.execution!.plain(shadow, byte, size, true, 'plain store', () => {
          target[index] = value;
        });
        return true;
      },
    });
    this.real.set(watched, view);
    return watched;
  }

  /** A property or method of a watched view. */
  private member(view: View, key: string | symbol): unknown {
    const value: unknown = Reflect.get(view, key, view);
    if (typeof value !== 'function' || key === 'constructor') return value;
    const methods: Record<string | symbol, Method> = {
      subarray: (from, to) => this.watch(view.subarray(from as number, to as number)),
      fill: (...parameters) => this.fill(view, parameters),
      set: (source, offset = 0) => this.setRange(view, source as View, offset as number),
      slice: (from = 0, to = view.length) =>
        this.copyOf(view.subarray(from as number, to as number), `${view.constructor.name}.slice`),
      write: (...parameters) => this.writeText(view as Buffer, parameters),
      toString: (encoding: unknown = 'utf8', from: unknown = 0, to: unknown = view.length) => {
        const range = view.subarray(from as number, to as number);
        return Buffer.from(this.copyOf(range, 'Buffer.toString') as Uint8Array).toString(encoding as 'utf8');
      },
    };
    if (Object.hasOwn(methods, key)) return methods[key];
    // Methods that only read, for example join or a Buffer's copy: they work on a copy of what is there now.
    return (...parameters: unknown[]) => {
      const copy = this.copyOf(view, String(key));
      return (Reflect.get(copy, key, copy) as Method).apply(copy, parameters);
    };
  }

  /** A copy of the present elements of a view, watched or not. */
  private copyOf(view: View, how: string): View {
    const real = this.real.get(view) ?? view;
    const copy = () => (real instanceof Buffer ? Buffer.from(new Uint8Array(real)) : real.slice());
    return this.range(real, 0, real.length, false, how, copy) as View;
  }

  private range<T>(view: View, from: number, to: number, isWrite: boolean, how: string, apply: () => T): T {
    const shadow = this.shadowOf(view.buffer);
    if (shadow === null || to <= from) return apply();
    const size = view.BYTES_PER_ELEMENT;
    const byte = view.byteOffset + from * size;
    return this.runtime.execution!.plain(shadow, byte, (to - from) * size, isWrite, how, apply);
  }

  private fill(view: View, [value, from = 0, to = view.length]: unknown[]): void {
    const [first, end] = [Math.min(from as number, view.length), Math.min(to as number, view.length)];
    this.range(view, first, end, true, `${view.constructor.name}.fill`, () => {
      (view.fill as Method).call(view, value, first, end);
    });
  }

  private setRange(view: View, source: View | readonly number[], offset: number): void {
    const values = this.real.has(source)
      ? this.copyOf(source as View, `${view.constructor.name}.set`)
      : source;
    this.range(view, offset, offset + values.length, true, `${view.constructor.name}.set`, () => {
      (view.set as Method).call(view, values, offset);
    });
  }

  /** `Buffer.write` with a text, an offset and a length. */
  private writeText(buffer: Buffer, [text, offset = 0, length = buffer.length, encoding]: unknown[]): number {
    const scratch = Buffer.alloc(Math.min(length as number, buffer.length - (offset as number)));
    const bytes = (scratch.write as Method)(text, 0, scratch.length, encoding) as number;
    this.setRange(buffer, scratch.subarray(0, bytes), offset as number);
    return bytes;
  }

  private dataViews(): unknown {
    return new Proxy(DataView, {
      construct: (target, [memory, ...rest]: [ArrayBufferLike, ...number[]]) => {
        const view = new target(memory as ArrayBuffer, ...rest);
        return memory instanceof SharedArrayBuffer ? this.shared(view, () => this.watchDataView(view)) : view;
      },
    });
  }

  private watchDataView(view: DataView): DataView {
    const { buffer, byteOffset } = view;
    return new Proxy(view, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key, target);
        const match = /^(get|set)[A-Z][a-zI]+(\d+)$/.exec(String(key));
        if (match === null) return value;
        const method = value as Method;
        const bytes = Number(match[2]) / 8;
        return (offset: number, ...rest: unknown[]) => {
          const shadow = this.shadowOf(buffer);
          const apply = () => method.call(target, offset, ...rest);
          if (shadow === null) return apply();
          const byte = byteOffset + offset;
          const how = `DataView.${String(key)}`;
          return this.runtime.execution!.plain(shadow, byte, bytes, match[1] === 'set', how, apply);
        };
      },
    });
  }

  private atomics(): unknown {
    const { runtime } = this;
    type Writes = (view: View, parameters: unknown[], before: unknown) => boolean;
    const operation = (name: string, reads: boolean, writes: Writes): Method => {
      const native = (Atomics as unknown as Record<string, Method>)[name]!;
      return (given, index, ...parameters) => {
        const view = this.real.get(given as object) ?? (given as View);
        const shadow = this.shadowOf(view.buffer);
        if (shadow === null) return native(view, index, ...parameters);
        const size = view.BYTES_PER_ELEMENT;
        return runtime.execution!.atomic(
          shadow,
          view.byteOffset + (index as number) * size,
          size,
          `Atomics.${name}`,
          reads,
          (before) => writes(view, parameters, before),
          () => native(view, index, ...parameters),
        );
      };
    };
    const always = () => true;
    return {
      load: operation('load', true, () => false),
      store: operation('store', false, always),
      ...Object.fromEntries(
        ['add', 'sub', 'and', 'or', 'xor', 'exchange'].map((name) => [name, operation(name, true, always)]),
      ),
      compareExchange: operation('compareExchange', true, swaps),
      isLockFree: (bytes: number) => Atomics.isLockFree(bytes),
      wait: this.wait,
      waitAsync: this.waitAsync,
      notify: this.notify,
    };
  }

  private readonly wait = (given: View, index: number, value: unknown, timeoutMs = Infinity): string => {
    const { view, byte, shadow } = this.wordOf(given, index);
    const isEqual = () => view[index] === value;
    return this.runtime.execution!.wait(shadow, byte, view.BYTES_PER_ELEMENT, timeoutMs, isEqual);
  };

  private readonly waitAsync = (given: View, index: number, expected: unknown): unknown => {
    const { view, byte, shadow } = this.wordOf(given, index);
    const { execution } = this.runtime;
    const value = execution!.waitAsync(shadow, byte, view.BYTES_PER_ELEMENT, () => view[index] === expected);
    return value === null ? { async: false, value: 'not-equal' } : { async: true, value };
  };

  private readonly notify = (given: View, index: number, count = Infinity): number => {
    const { byte, shadow } = this.wordOf(given, index);
    return this.runtime.execution!.notify(shadow, byte, count);
  };

  private wordOf(given: View, index: number): { view: View; byte: number; shadow: Shadow } {
    const view = this.real.get(given) ?? given;
    const shadow = this.shadowOf(view.buffer);
    if (shadow === null)
      throw new Error('a scenario waits only within its threads, on a memory that it lists');
    return { view, byte: view.byteOffset + index * view.BYTES_PER_ELEMENT, shadow };
  }
}

const VIEWS = [
  ...[Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array],
  ...[Float32Array, Float64Array, BigInt64Array, BigUint64Array],
];

/** True if a compareExchange with these parameters stored, given the value before. */
function swaps(view: View, [expected]: unknown[], before: unknown): boolean {
  const scratch = new (view.constructor as new (length: number) => View)(1);
  scratch[0] = expected as never;
  return scratch[0] === before;
}

class WasmMemory {
  readonly buffer: SharedArrayBuffer;

  constructor({ initial }: { readonly initial: number }) {
    this.buffer = new SharedArrayBuffer(initial * WASM_PAGE_BYTES);
  }
}
