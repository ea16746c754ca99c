/** Part of the page's script: how numbers are written for people. */
export const NUMBERS_SCRIPT = `  // Numbers for people.
  const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
  const digits = (value) => String(+value.toPrecision(3));
  const rate = (value) => {
    if (!isNumber(value)) return '–';
    if (value >= 1e6) return digits(value / 1e6) + 'M';
    if (value >= 1e4) return digits(value / 1e3) + 'k';
    return value >= 10 ? whole.format(value) : String(+value.toFixed(2));
  };
  const millis = (value) => {
    if (!isNumber(value)) return '–';
    if (value >= 1000) return digits(value / 1000) + ' s';
    return value >= 1 || value === 0 ? digits(value) + ' ms' : digits(value * 1000) + ' µs';
  };
  const bytes = (value) => {
    if (!isNumber(value)) return '–';
    const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
    let unit = 0;
    while (value >= 1000 && unit < units.length - 1) {
      value /= 1000;
      unit += 1;
    }
    return digits(value) + ' ' + units[unit];
  };
  const duration = (seconds) => {
    const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
    const at = Math.max(0, parts.findIndex(([size]) => seconds >= size));
    return parts.slice(at, at + 2).map(([size, unit]) => {
      const count = Math.floor(seconds / size);
      seconds -= count * size;
      return count + ' ' + unit;
    }).join(' ');
  };
`;
