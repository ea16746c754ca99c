/** The parser of phase 3: one pass over the bytes, which `body.ts`, `item.ts` and `tags.ts` implement. */
import { ColumnParser } from '../column-parser.ts';
import type { BodyFormat, CreateParser, ParseFailure, ParseOutcome } from '../parser.ts';
import { describeFailure, parseBody, setLimits } from './body.ts';

/** This thread's parser. Its state is module state. */
class SinglePassParser extends ColumnParser {
  protected override fillColumns(length: number, format: BodyFormat): ParseOutcome {
    return parseBody(length, format, null);
  }

  override failure(): ParseFailure {
    return describeFailure();
  }
}

export const createParser = ((limits) => {
  const parser = new SinglePassParser(limits);
  setLimits(limits);
  return parser;
}) satisfies CreateParser;
