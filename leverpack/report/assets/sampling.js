// Fewer points that look the same: M4 for lines (first, lowest, highest and last of each pixel
// column), open-high-low-close of equal groups for candles. Everything in view when it fits.
"use strict";
const sampling = (() => {
  // First index whose value is not below `wanted`, in a rising array.
  function lower(values, wanted) {
    let low = 0, high = values.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (values[middle] < wanted) low = middle + 1; else high = middle;
    }
    return low;
  }

  // Indices [from, to) that touch the view, with one neighbour on either side.
  function inView(times, start, end) {
    return [Math.max(0, lower(times, start) - 1), Math.min(times.length, lower(times, end) + 1)];
  }

  function m4(xs, ys, from, to, pixels) {
    if (to - from <= 4 * pixels) return { x: xs.slice(from, to), y: ys.slice(from, to) };
    const x = [], y = [], size = (to - from) / pixels;
    for (let k = 0; k < pixels; k++) {
      const start = from + Math.floor(k * size), end = from + Math.floor((k + 1) * size);
      let first = -1, last = -1, lowest = -1, highest = -1;
      for (let i = start; i < end; i++) {
        const value = ys[i];
        if (value !== value) continue;
        if (first < 0) first = lowest = highest = i;
        last = i;
        if (value < ys[lowest]) lowest = i;
        if (value > ys[highest]) highest = i;
      }
      if (first < 0) { x.push(xs[start]); y.push(NaN); continue; }
      const picks = [first, Math.min(lowest, highest), Math.max(lowest, highest), last];
      for (let j = 0; j < 4; j++) {
        if (j && picks[j] === picks[j - 1]) continue;
        x.push(xs[picks[j]]); y.push(ys[picks[j]]);
      }
      // A value alone in its column is a dot between gaps: stretch it, or no line is drawn.
      if (first === last) { x.push(xs[end - 1]); y.push(ys[first]); }
    }
    return { x, y };
  }

  // How many candles make one bar: at least `wanted`, and a length that people count in.
  function group(wanted, step) {
    if (wanted <= 1) return 1;
    const minute = 60000, hour = 60 * minute, day = 24 * hour;
    for (const [unit, counts] of [[minute, [1, 2, 3, 5, 10, 15, 30]], [hour, [1, 2, 3, 4, 6, 8, 12]],
      [day, [1, 2, 3, 5, 7, 14, 30, 60, 90, 180, 365]]])
      for (const count of counts)
        if (count * unit >= wanted * step && count * unit % step === 0) return count * unit / step;
    return Math.ceil(wanted);
  }

  function candles(c, from, to, group) {
    const out = { time: [], until: [], open: [], high: [], low: [], close: [], group };
    // Groups are counted from the first candle of all: panning does not make them flicker.
    for (let start = from - (from % group); start < to; start += group) {
      const end = Math.min(start + group, c.time.length);
      let high = -Infinity, low = Infinity;
      for (let i = start; i < end; i++) {
        if (c.high[i] > high) high = c.high[i];
        if (c.low[i] < low) low = c.low[i];
      }
      out.time.push(c.time[start]);
      out.until.push(c.time[end - 1]);
      out.open.push(c.open[start]); out.high.push(high);
      out.low.push(low); out.close.push(c.close[end - 1]);
    }
    return out;
  }

  return { lower, inView, m4, group, candles };
})();
