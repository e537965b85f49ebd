/** Offsets of the service count Unicode code points; JavaScript's count UTF-16 units. */

/**
 * @param {string} text
 * @param {{start: number, end: number}[]} spans in code points
 * @returns {{start: number, end: number}[]} the same in UTF-16 units
 */
export function inUnits(text, spans) {
  const wanted = new Set(spans.flatMap(({ start, end }) => [start, end]));
  const units = new Map();
  let points = 0;
  let unit = 0;
  for (const character of text) {
    if (wanted.has(points)) units.set(points, unit);
    points += 1;
    unit += character.length;
  }
  units.set(points, unit);
  const at = (point) => units.get(point) ?? unit;
  return spans.map(({ start, end }) => ({ start: at(start), end: at(end) }));
}

/**
 * Cut a text where a span begins or ends.
 *
 * @param {string} text
 * @param {{start: number, end: number}[]} spans in UTF-16 units; they may overlap
 * @returns {{text: string, spans: number[]}[]} pieces, with the places of the spans they lie in
 */
export function pieces(text, spans) {
  const edges = new Set([0, text.length]);
  for (const { start, end } of spans) edges.add(start).add(end);
  const sorted = [...edges].sort((a, b) => a - b);
  const found = [];
  for (let place = 0; place + 1 < sorted.length; place += 1) {
    const [from, to] = [sorted[place], sorted[place + 1]];
    const inside = spans.flatMap(({ start, end }, i) => (start <= from && to <= end ? [i] : []));
    found.push({ text: text.slice(from, to), spans: inside });
  }
  return found;
}
