/**
 * Writes Parquet in its simplest form, which costs almost nothing to write and to read: values without nulls, neither
 * encoded nor compressed, one page for each column of a row group.
 *
 * ```
 *  PAR1 │ page header, values  │ page header, values  │ … next row group … │ footer │ footer's length │ PAR1
 *         └─ first column ───────┘
 * ```
 * Headers and footer are structures of Thrift's compact protocol. The footer has the range of each column in each row
 * group, so a query skips groups outside its bounds.
 */

export interface PlainColumn {
  readonly name: string;
  /** TIMESTAMP is an INT64 of milliseconds, UTC. Each TEXT is UTF-8 after its length, which has 32 bits. */
  readonly type: 'INT32' | 'INT64' | 'DOUBLE' | 'TIMESTAMP' | 'TEXT';
}

/** The values of a column in a row group; numbers are little-endian. */
export interface PlainChunk {
  readonly bytes: Uint8Array;
  /** The least and the greatest value in the same form, or null if they are not known. */
  readonly range: { readonly min: Uint8Array; readonly max: Uint8Array } | null;
}

interface Target {
  append(bytes: Uint8Array): void;
  readonly bytes: number;
}

interface WrittenChunk {
  readonly offset: number;
  readonly bytes: number;
  readonly range: PlainChunk['range'];
}

interface RowGroup {
  readonly rows: number;
  readonly chunks: readonly WrittenChunk[];
}

const MAGIC = Buffer.from('PAR1');
/** Numbers of the format: physical types, and what some of them mean. */
const PHYSICAL = { INT32: 1, INT64: 2, DOUBLE: 5, TIMESTAMP: 2, TEXT: 6 } as const;
const CONVERTED: Readonly<Partial<Record<PlainColumn['type'], number>>> = { TEXT: 0, TIMESTAMP: 9 };
const REQUIRED = 0;
const DATA_PAGE = 0;
const PLAIN = 0;
const RLE = 3;
const UNCOMPRESSED = 0;

export class PlainParquet {
  private readonly target: Target;
  private readonly columns: readonly PlainColumn[];
  private readonly groups: RowGroup[] = [];

  constructor(target: Target, columns: readonly PlainColumn[]) {
    this.target = target;
    this.columns = columns;
    target.append(MAGIC);
  }

  /** @param chunks in the order of the columns */
  addGroup(rows: number, chunks: readonly PlainChunk[]): void {
    const written = chunks.map(({ bytes, range }) => {
      const offset = this.target.bytes;
      this.target.append(pageHeader(rows, bytes.length));
      this.target.append(bytes);
      return { offset, bytes: this.target.bytes - offset, range };
    });
    this.groups.push({ rows, chunks: written });
  }

  /** Writes the footer; the file is complete then. */
  end(): void {
    const footer = this.footer();
    const length = Buffer.alloc(4);
    length.writeUInt32LE(footer.length);
    for (const part of [footer, length, MAGIC]) this.target.append(part);
  }

  private footer(): Buffer {
    const { columns, groups } = this;
    const thrift = new CompactThrift();
    thrift.struct(() => {
      thrift.int(1, 1);
      thrift.list(2, STRUCT, columns.length + 1);
      thrift.struct(() => {
        thrift.binary(4, Buffer.from('schema'));
        thrift.int(5, columns.length);
      });
      for (const { name, type } of columns) {
        thrift.struct(() => {
          thrift.int(1, PHYSICAL[type]);
          thrift.int(3, REQUIRED);
          thrift.binary(4, Buffer.from(name));
          const converted = CONVERTED[type];
          if (converted !== undefined) thrift.int(6, converted);
        });
      }
      thrift.long(
        3,
        groups.reduce((sum, { rows }) => sum + rows, 0),
      );
      thrift.list(4, STRUCT, groups.length);
      for (const group of groups) this.writeGroup(thrift, group);
    });
    return thrift.bytes;
  }

  private writeGroup(thrift: CompactThrift, { rows, chunks }: RowGroup): void {
    thrift.struct(() => {
      thrift.list(1, STRUCT, chunks.length);
      for (const [index, { offset, bytes, range }] of chunks.entries()) {
        const { name, type } = this.columns[index]!;
        thrift.struct(() => {
          thrift.long(2, offset);
          thrift.structField(3, () => {
            thrift.int(1, PHYSICAL[type]);
            thrift.list(2, INT, 1);
            thrift.item(PLAIN);
            thrift.list(3, BINARY, 1);
            thrift.binaryItem(Buffer.from(name));
            thrift.int(4, UNCOMPRESSED);
            thrift.long(5, rows);
            thrift.long(6, bytes);
            thrift.long(7, bytes);
            thrift.long(9, offset);
            if (range !== null)
              thrift.structField(12, () => {
                thrift.binary(5, range.max);
                thrift.binary(6, range.min);
              });
          });
        });
      }
      thrift.long(
        2,
        chunks.reduce((sum, { bytes }) => sum + bytes, 0),
      );
      thrift.long(3, rows);
    });
  }
}

function pageHeader(rows: number, bytes: number): Buffer {
  const thrift = new CompactThrift();
  thrift.struct(() => {
    thrift.int(1, DATA_PAGE);
    thrift.int(2, bytes);
    thrift.int(3, bytes);
    thrift.structField(5, () => {
      thrift.int(1, rows);
      thrift.int(2, PLAIN);
      thrift.int(3, RLE);
      thrift.int(4, RLE);
    });
  });
  return thrift.bytes;
}

/** Types of Thrift's compact protocol. */
const INT = 5;
const LONG = 6;
const BINARY = 8;
const LIST = 9;
const STRUCT = 12;
/** Lists from this length on have it in a number of its own. */
const LONG_LIST = 15;

/** Structures of Thrift's compact protocol; fields come in ascending order of their ids. */
class CompactThrift {
  private readonly out: number[] = [];
  private lastId = 0;

  get bytes(): Buffer {
    return Buffer.from(this.out);
  }

  struct(fields: () => void): void {
    const { lastId } = this;
    this.lastId = 0;
    fields();
    this.out.push(0);
    this.lastId = lastId;
  }

  structField(id: number, fields: () => void): void {
    this.field(id, STRUCT);
    this.struct(fields);
  }

  int(id: number, value: number): void {
    this.field(id, INT);
    this.item(value);
  }

  long(id: number, value: number): void {
    this.field(id, LONG);
    this.item(value);
  }

  binary(id: number, value: Uint8Array): void {
    this.field(id, BINARY);
    this.binaryItem(value);
  }

  /** Its items follow. */
  list(id: number, type: number, length: number): void {
    this.field(id, LIST);
    this.out.push((Math.min(length, LONG_LIST) << 4) | type);
    if (length >= LONG_LIST) this.varint(length);
  }

  item(value: number): void {
    // Zigzag; no number here is negative.
    this.varint(value * 2);
  }

  binaryItem(value: Uint8Array): void {
    this.varint(value.length);
    this.out.push(...value);
  }

  private field(id: number, type: number): void {
    this.out.push(((id - this.lastId) << 4) | type);
    this.lastId = id;
  }

  private varint(value: number): void {
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.out.push((rest % 0x80) | 0x80);
    this.out.push(rest);
  }
}
