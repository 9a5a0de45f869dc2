// The ranges of the overview.

export const RANGES = [
  ["1h", "over.range.h", 1],
  ["24h", "over.range.d", 15],
  ["7d", "over.range.w", 120],
];

/** The range that a query names, else an hour: `{range, name, minutes}`, the minutes of its buckets. */
export function rangeOf({ t }, query) {
  const [range, key, minutes] = RANGES.find(([one]) => one === query.get("range")) ?? RANGES[0];
  return { range, name: t(key), minutes };
}
