// Axes at round numbers, and series thinned to the pixels there are.

/** Round steps from zero (or `min`) that cover `max`, about `count` of them. */
export function ticks(max, { min = 0, count = 4 } = {}) {
  const span = max - min || 1;
  const rough = span / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough * 0.999);
  const first = Math.floor(min / step) * step;
  const found = [];
  for (let index = 0; first + index * step < max + step * 0.999; index += 1) {
    found.push(Number((first + index * step).toPrecision(12)));
  }
  return found.length > 1 ? found : [first, first + step];
}

/** A function from a domain to pixels. */
export function linear([low, high], [from, to]) {
  const span = high - low || 1;
  return (value) => from + ((value - low) / span) * (to - from);
}

/** A function from a logarithmic domain to pixels. */
export function logarithmic([low, high], range) {
  const scale = linear([Math.log10(low), Math.log10(high)], range);
  return (value) => scale(Math.log10(Math.max(value, low)));
}

/** At most two points for each pixel column, its lowest and its highest, so that no spike is lost. */
export function thin(points, columns) {
  if (points.length <= columns * 2) {
    return points;
  }
  const size = points.length / columns;
  const kept = [];
  for (let column = 0; column < columns; column += 1) {
    const part = points.slice(Math.floor(column * size), Math.floor((column + 1) * size));
    const low = part.reduce((one, other) => (other[1] < one[1] ? other : one));
    const high = part.reduce((one, other) => (other[1] > one[1] ? other : one));
    kept.push(...(low === high ? [low] : low[0] < high[0] ? [low, high] : [high, low]));
  }
  return kept;
}

/** The path through points. A point without a value interrupts it. */
export function pathThrough(points) {
  let command = "M";
  let path = "";
  for (const [x, y] of points) {
    if (y === null || Number.isNaN(y)) {
      command = "M";
    } else {
      path += `${command}${x.toFixed(1)} ${y.toFixed(1)}`;
      command = "L";
    }
  }
  return path;
}

/** Places for labels at `wanted`, at least `gap` apart, between `low` and `high`. */
export function apart(wanted, { gap, low, high }) {
  const order = wanted.map((_, index) => index).toSorted((one, other) => wanted[one] - wanted[other]);
  const placed = [];
  let last = low - gap;
  for (const index of order) {
    last = Math.max(wanted[index], last + gap);
    placed[index] = last;
  }
  let next = high + gap;
  for (const index of order.toReversed()) {
    next = Math.min(placed[index], next - gap);
    placed[index] = next;
  }
  return placed;
}
