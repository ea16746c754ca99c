/** Parsers of option values for commander: quantities in the form of the server's options. */
import { InvalidArgumentError, Option } from 'commander';
import { formatQuantity, type Kind, parseQuantity } from '../config/units.ts';

/** An option that takes a quantity within bounds. */
export function quantityOption(
  flags: string,
  help: string,
  kind: Kind,
  fallback: string,
  [min, max]: readonly [number, number],
): Option {
  const allowed = `${formatQuantity(kind, min)} to ${formatQuantity(kind, max)}`;
  const parse = (text: string): number => {
    const value = parseQuantity(kind, text);
    if (typeof value === 'string') throw new InvalidArgumentError(value);
    if (!(value >= min && value <= max)) throw new InvalidArgumentError(`allowed: ${allowed}`);
    return value;
  };
  return new Option(flags, `${help} (allowed: ${allowed})`)
    .argParser(parse)
    .default(parse(fallback), fallback);
}
