// ---- axes: as analysis/report/axes.py ----
function even(low, high) {
  const raw = (high - low) / 6, size = 10 ** Math.floor(Math.log10(raw)), step = [1, 2, 5, 10].map(m => m * size).find(s => s >= raw * .999);
  const out = [];
  for (let k = Math.ceil(low / step); k <= Math.floor(high / step); k++) out.push(+(step * k).toPrecision(9));
  return out;
}
function ticks(axis) {
  const { low, high } = axis;
  if (!axis.log || high < 4 * low) return even(low, high);
  const decades = Math.log10(high / low), out = [];
  const subs = (([[.9, [1, 2, 3, 5, 7]], [2.2, [1, 2, 5]], [3.2, [1, 3]]].find(([most]) => decades < most)) || [0, [1]])[1];
  for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p += Math.max(1, Math.ceil(decades / 7)))
    for (const sub of subs) { const tick = Number(`${sub}e${p}`); if (tick >= low && tick <= high) out.push(tick); }
  return out;
}
const write = (axis, x) => axis.kind === "power" && x > 0 ? power(x) : axis.kind === "count" ? human(x) : String(+x.toPrecision(6));
const warp = (axis, x) => axis.log ? Math.log(x) : x;
const share = (axis, x) => (warp(axis, x) - warp(axis, axis.low)) / (warp(axis, axis.high) - warp(axis, axis.low));
function value(axis, part) {
  const low = warp(axis, axis.low), x = low + part * (warp(axis, axis.high) - low);
  return axis.log ? Math.exp(x) : x;
}
function span(values, log) {
  const known = values.filter(x => Number.isFinite(x) && (x > 0 || !log));
  let low = Math.min(...known), high = Math.max(...known);
  if (log) { const wide = Math.max((high / low) ** .05, 1.002); return [low / wide, high * wide]; }
  const wide = .05 * (high - low) || 1;
  return [low - wide, high + wide];
}
const inside = x => Number.isFinite(x) ? Math.max(-9999, Math.min(9999, x)) : -9999;

