// The charts: one time window for all of them, values at the pointer, colours of the paper.
"use strict";
const charts = (async () => {
  const spec = JSON.parse(document.getElementById("charts").textContent);
  const built = JSON.parse(document.getElementById("bokeh").textContent);
  if (spec.first === null) return { spec, window: null };
  const tones = () => new Proxy({}, { get: (_, name) =>
    getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim() });
  const step = Math.max(1000, spec.step);
  const whole = { start: spec.first - step / 2, end: spec.last + step / 2 };  // candles whole
  const view = { ...whole };
  const drawn = [];

  // -- words -----------------------------------------------------------------------------------
  const number = (value, digits) => value.toLocaleString("en-US",
    { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const said = {
    money: v => number(v, 2), percent: v => number(v * 100, 2) + " %", times: v => number(v, 2) + "x",
  };
  const moment = ms => new Date(ms).toISOString().slice(0, 16).replace("T", " ") + " UTC";
  function span(ms) {
    for (const [unit, name] of [[86400000, "d"], [3600000, "h"], [60000, "min"], [1000, "s"]])
      if (ms >= unit && ms % unit === 0) return number(ms / unit, 0) + " " + name;
    return number(ms / 60000, 1) + " min";
  }

  // -- one class a kind of chart ---------------------------------------------------------------
  class Chart {
    constructor(about, document_) {
      this.about = about;
      this.doc = document_;
      this.box = document.getElementById("chart-" + about.name);
      this.place = document.getElementById("plot-" + about.name);
      this.figure = this.model("figure-" + about.name);
      this.readout = this.box.querySelector(".readout");
      this.cross = this.box.querySelector(".cross");
      this.keys = [];
    }
    model(name) { return this.doc.get_model_by_name(name); }
    frame() {
      const inner = Bokeh.index.find_one(this.figure).frame.bbox;
      return { left: inner.left, width: inner.right - inner.left };
    }
    fill(name, data) { this.model(name).data_source.data = data; }
    key(label, tone) {
      const item = document.createElement("span"), value = document.createElement("b");
      item.className = "key";
      if (tone) item.style.setProperty("--tone", `var(--${tone})`);
      item.append(label + " ", value);
      this.readout.append(item);
      this.keys.push(value);
      return value;
    }
    // The axis: room around what is drawn; floor and ceiling are always in sight.
    scale(low, high) {
      const { floor, ceiling, log } = this.about;
      if (floor !== null) { low = Math.min(low, floor); high = Math.max(high, floor); }
      if (ceiling !== null) { high = Math.max(high, ceiling); low = Math.min(low, ceiling); }
      if (!(low <= high)) { low = log ? 0.1 : 0; high = 1; }
      if (log) {
        const room = Math.max(Math.pow(high / low, 0.06), 1.02);
        this.model("y-" + this.about.name).setv({ start: low / room, end: high * room });
        return;
      }
      const room = (high - low) * 0.07 || Math.max(Math.abs(high) * 0.01, 1e-6);
      this.model("y-" + this.about.name).setv({
        start: low === floor && floor !== null ? low : low - room,
        end: high === ceiling && ceiling !== null ? high : high + room,
      });
    }
    paint() {
      const ink = tones();
      for (const axis of [...this.figure.below, ...this.figure.left])
        if ("major_label_text_color" in axis) axis.major_label_text_color = ink.soft;
      for (const grid of this.figure.center)
        if ("grid_line_color" in grid && grid.dimension === 1) grid.grid_line_color = ink.line;
      this.about.bands.forEach((band, i) => {
        this.model(`${this.about.name}-band-${i}`).fill_color = ink[band.tone];
      });
    }
    tint(name, tone, kind = "line") {
      const value = { value: tones()[tone] }, glyph = this.model(name).glyph;
      if (kind !== "fill") glyph.line_color = value;
      if (kind !== "line") glyph.fill_color = value;
    }
  }

  class LineChart extends Chart {
    async load() {
      this.lines = [];
      for (const [i, line] of this.about.lines.entries()) {
        const name = `${this.about.name}-${i}`;
        this.lines.push({ ...line, name, x: await columns.get(line.x), y: await columns.get(line.y) });
        this.key(line.label, line.tone);
      }
    }
    paint() {
      super.paint();
      for (const line of this.lines) {
        this.tint(line.name, line.tone);
        if (line.area) this.tint(line.name + "-area", line.tone, "fill");
      }
    }
    draw(pixels) {
      let low = Infinity, high = -Infinity;
      for (const line of this.lines) {
        const [from, to] = sampling.inView(line.x, view.start, view.end);
        const data = sampling.m4(line.x, line.y, from, to, pixels);
        for (const value of data.y) {
          if (value < low) low = value;
          if (value > high) high = value;
        }
        this.fill(line.name, data);
        if (line.area) this.fill(line.name + "-area", data);
      }
      this.scale(low, high);
    }
    read(time) {
      this.lines.forEach((line, i) => {
        const at = Math.min(sampling.lower(line.x, time + 1), line.x.length) - 1;
        const value = at < 0 ? NaN : line.y[at];
        this.keys[i].textContent = Number.isFinite(value) ? said[this.about.unit](value) : "–";
      });
    }
  }

  class DayChart extends LineChart {
    paint() {
      Chart.prototype.paint.call(this);
      if (this.lines.length > 1) this.tint("days-limit", "red");
      this.draw();
    }
    draw() {
      const ink = tones(), day = 86400000, { x, y } = this.lines[0];
      const [from, to] = sampling.inView(x, view.start - day, view.end);
      const data = { left: [], right: [], top: [], color: [] };
      let low = 0, high = 0;
      for (let i = from; i < to; i++) {
        data.left.push(x[i] + 0.1 * day); data.right.push(x[i] + 0.9 * day);
        data.top.push(y[i]); data.color.push(y[i] < 0 ? ink.red : ink.green);
        low = Math.min(low, y[i]); high = Math.max(high, y[i]);
      }
      this.fill("days-bars", data);
      if (this.lines.length > 1) {
        const limit = this.lines[1].y;
        this.fill("days-limit", { x: x.slice(from, to), y: limit.slice(from, to) });
        for (let i = from; i < to; i++) if (limit[i] > 3 * low) low = Math.min(low, limit[i]);
      }
      this.scale(low, high);
    }
  }

  class PriceChart extends Chart {
    async load() {
      for (const label of ["open", "high", "low", "close"]) this.key(label);
      this.key("liquidation price", "red");
      this.note = this.box.querySelector(".detail");
      await this.choose(0);
      const select = document.getElementById("symbol");
      if (select) select.addEventListener("change", async () => {
        await this.choose(Number(select.value));
        schedule();
      });
    }
    async choose(index) {
      const { key, digits } = spec.symbols[index], get = name => columns.get(`${key}:${name}`);
      this.index = index;
      this.digits = digits;
      this.candles = { time: await get("ts"), open: await get("open"), high: await get("high"),
        low: await get("low"), close: await get("close") };
      this.liquidation = await get("liquidation");
      this.trades = { entered: await get("entry_time"), left: await get("exit_time"),
        side: await get("side"), entry: await get("entry"), exit: await get("exit"),
        stop: await get("stop"), target: await get("target"), forced: await get("forced") };
    }
    paint() {
      super.paint();
      for (const [name, tone] of [["long", "green"], ["short", "red"], ["forced", "ink"]])
        this.tint("price-" + name, tone, "both");
      this.tint("price-exit", "blue");
      this.model("price-exit").glyph.fill_color = { value: tones().paper };
      this.tint("price-liquidation", "red");
      this.tint("price-stop", "amber");
      this.tint("price-target", "teal");
      this.draw(this.frame().width);
    }
    draw(pixels) {
      const [from, to] = sampling.inView(this.candles.time, view.start, view.end);
      const most = Math.max(40, Math.floor(pixels / 4));
      const bars = sampling.candles(this.candles, from, to,
        sampling.group((to - from) / most, step));
      this.bars(bars);
      const line = sampling.m4(this.candles.time, this.liquidation, from, to, pixels);
      this.fill("price-liquidation", line);
      this.marks();
      let low = Infinity, high = -Infinity;
      for (const value of bars.low) low = Math.min(low, value);
      for (const value of bars.high) high = Math.max(high, value);
      const room = 0.45 * (high - low), candlesLow = low, candlesHigh = high;
      for (const value of line.y) {  // a far liquidation price may run out of the picture
        if (value < low && value > candlesLow - room) low = value;
        if (value > high && value < candlesHigh + room) high = value;
      }
      this.scale(low, high);
      this.group = bars.group;
      this.note.textContent = bars.group === 1
        ? `${number(to - from, 0)} candles in view, every one drawn`
        : `${number(to - from, 0)} candles in view, each bar holds ${number(bars.group, 0)} `
          + `(${span(bars.group * step)}); zoom in for every candle`;
    }
    bars(bars) {
      const ink = tones(), half = 0.36 * bars.group * step;
      const middle = bars.time.map(t => t + 0.5 * (bars.group - 1) * step);
      const color = bars.open.map((open, i) => bars.close[i] < open ? ink.red : ink.green);
      this.fill("price-wicks", { x: middle, low: bars.low, high: bars.high, color });
      this.fill("price-bodies", {
        left: middle.map(x => x - half), right: middle.map(x => x + half),
        low: bars.open.map((open, i) => Math.min(open, bars.close[i])),
        high: bars.open.map((open, i) => Math.max(open, bars.close[i])), color,
      });
    }
    marks() {
      const t = this.trades, points = { long: [], short: [], exit: [], forced: [] };
      const levels = { stop: [], target: [] };
      let count = 0;
      for (let i = 0; i < t.entered.length; i++) {
        if (t.left[i] < view.start || t.entered[i] > view.end) continue;
        count++;
        points[t.side[i] > 0 ? "long" : "short"].push([t.entered[i], t.entry[i]]);
        if (Number.isFinite(t.exit[i]))
          points[t.forced[i] ? "forced" : "exit"].push([t.left[i], t.exit[i]]);
        for (const name in levels)
          if (Number.isFinite(t[name][i])) levels[name].push([t.entered[i], t.left[i], t[name][i]]);
      }
      const crowded = count > 600;
      for (const name in points) {
        const shown = crowded ? [] : points[name];
        this.fill("price-" + name, { x: shown.map(p => p[0]), y: shown.map(p => p[1]) });
      }
      for (const name in levels) {
        const shown = crowded ? [] : levels[name];
        this.fill("price-" + name, { x0: shown.map(p => p[0]), x1: shown.map(p => p[1]),
          y: shown.map(p => p[2]) });
      }
      this.box.querySelector(".crowded").hidden = !crowded;
    }
    read(time) {
      const at = sampling.lower(this.candles.time, time + 1) - 1, c = this.candles;
      [c.open, c.high, c.low, c.close, this.liquidation].forEach((values, i) => {
        const value = at < 0 ? NaN : values[at];
        const digits = i < 4 ? this.digits : Math.max(2, this.digits);
        this.keys[i].textContent = Number.isFinite(value) ? number(value, digits) : "–";
      });
    }
  }

  // -- the window in time ----------------------------------------------------------------------
  const clock = document.getElementById("moment");
  const shortest = 12 * step;
  let waiting = 0, time;

  function show(start, end) {
    const span_ = Math.min(Math.max(end - start, Math.min(shortest, whole.end - whole.start)),
      whole.end - whole.start);
    const middle = (start + end) / 2;
    start = Math.min(Math.max(middle - span_ / 2, whole.start), whole.end - span_);
    view.start = start;
    view.end = start + span_;
    schedule();
  }
  function zoom(factor, around = (view.start + view.end) / 2) {
    show(around - (around - view.start) * factor, around + (view.end - around) * factor);
  }
  function pan(share) {
    const by = share * (view.end - view.start);
    const bounded = Math.min(Math.max(by, whole.start - view.start), whole.end - view.end);
    show(view.start + bounded, view.end + bounded);
  }
  function near(chart) {
    const box = chart.box.getBoundingClientRect();
    return box.bottom > -200 && box.top < innerHeight + 200;
  }
  function redraw(list) {
    time.setv({ start: view.start, end: view.end });
    for (const chart of list) chart.draw(Math.max(60, Math.round(chart.frame().width)));
    document.getElementById("window").textContent =
      `${moment(Math.max(view.start, spec.first))} to ${moment(Math.min(view.end, spec.last))}`;
  }
  // What is in sight at once, the rest when the hand has come to rest.
  let later = 0;
  function schedule() {
    if (waiting) return;
    waiting = requestAnimationFrame(() => {
      waiting = 0;
      redraw(drawn.filter(near));
      clearTimeout(later);
      later = setTimeout(() => redraw(drawn.filter(chart => !near(chart))), 150);
    });
  }

  // -- the hand --------------------------------------------------------------------------------
  function point(at) {
    for (const chart of drawn) {
      const { left, width } = chart.frame();
      const x = left + width * (at - view.start) / (view.end - view.start);
      chart.cross.style.transform = `translateX(${x}px)`;
      chart.cross.hidden = at < view.start || at > view.end;
      chart.read(at + step / 2);
    }
    clock.textContent = moment(spec.first + Math.round((at - spec.first) / step) * step);
  }
  function rest() {
    for (const chart of drawn) { chart.cross.hidden = true; chart.read(view.end); }
    clock.textContent = "";
  }
  function listen(chart) {
    const hand = chart.box.querySelector(".hand"), fingers = new Map();
    const when = event => {
      const { left, width } = chart.frame(), box = hand.getBoundingClientRect();
      const share = Math.min(Math.max((event.clientX - box.left - left) / width, 0), 1);
      return view.start + share * (view.end - view.start);
    };
    hand.addEventListener("pointerdown", event => {
      fingers.set(event.pointerId, event.clientX);
      hand.setPointerCapture(event.pointerId);
    });
    hand.addEventListener("pointermove", event => {
      if (fingers.has(event.pointerId)) {
        const before = fingers.get(event.pointerId), { width } = chart.frame();
        if (fingers.size === 2) {
          const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, x]) => x);
          const was = Math.abs(before - other), is = Math.abs(event.clientX - other);
          if (was > 8 && is > 8) zoom(was / is, when(event));
        } else pan((before - event.clientX) / width);
        fingers.set(event.pointerId, event.clientX);
      }
      point(when(event));
    });
    for (const name of ["pointerup", "pointercancel"])
      hand.addEventListener(name, event => fingers.delete(event.pointerId));
    hand.addEventListener("pointerleave", rest);
    hand.addEventListener("dblclick", event => zoom(0.4, when(event)));
    hand.addEventListener("wheel", event => {  // the bare wheel scrolls the page
      if (!event.ctrlKey && !event.shiftKey && !event.metaKey) return;
      event.preventDefault();
      zoom(Math.exp((event.deltaY || event.deltaX) * 0.002), when(event));
    }, { passive: false });
    hand.addEventListener("keydown", event => {
      const acts = { ArrowLeft: () => pan(-0.2), ArrowRight: () => pan(0.2), "+": () => zoom(0.5),
        "=": () => zoom(0.5), "-": () => zoom(2), 0: () => show(whole.start, whole.end),
        Home: () => pan(-1e9), End: () => pan(1e9) };
      if (!(event.key in acts)) return;
      event.preventDefault();
      acts[event.key]();
    });
  }
  function buttons() {
    const acts = { in: () => zoom(0.5), out: () => zoom(2), back: () => pan(-0.5),
      on: () => pan(0.5), all: () => show(whole.start, whole.end) };
    for (const button of document.querySelectorAll("[data-zoom]")) {
      const days = Number(button.dataset.zoom);
      if (days && days * 86400000 >= whole.end - whole.start) { button.hidden = true; continue; }
      button.addEventListener("click", acts[button.dataset.zoom]
        || (() => show(view.end - days * 86400000, view.end)));
    }
  }

  // -- start -----------------------------------------------------------------------------------
  const narrow = matchMedia("(max-width: 40rem)").matches;
  await Bokeh.embed.embed_items(built.docs,
    [{ docid: built.doc, roots: built.places, root_ids: Object.keys(built.places) }]);
  const document_ = Bokeh.documents[Bokeh.documents.length - 1];
  time = document_.get_model_by_name("time");
  const kinds = { lines: LineChart, price: PriceChart, days: DayChart };
  for (const about of spec.charts) {
    const chart = new kinds[about.kind](about, document_);
    if (narrow) {
      const height = Math.round(about.height * 0.8);
      chart.figure.setv({ min_border_left: 58, min_border_right: 6, height });
      chart.place.style.height = `${height}px`;
      chart.figure.below[0].ticker.desired_num_ticks = 3;
    }
    await chart.load();
    drawn.push(chart);
    listen(chart);
  }
  buttons();
  const paint = () => { for (const chart of drawn) chart.paint(); };
  paint();
  redraw(drawn);
  rest();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  addEventListener("resize", schedule);
  addEventListener("beforeprint", () => redraw(drawn));
  document.documentElement.dataset.charts = "drawn";

  async function focusOn(symbol, start, end) {
    const price = drawn.find(chart => chart.about.kind === "price");
    const index = spec.symbols.findIndex(one => one.name === symbol);
    if (price && index >= 0 && index !== price.index) {
      await price.choose(index);
      document.getElementById("symbol").value = String(index);
    }
    const room = Math.max(0.6 * (end - start), 20 * step);
    show(start - room, end + room);
    price.box.scrollIntoView({ block: "start", behavior: "smooth" });
  }
  return { spec, window: view, drawn, show, focusOn };
})();
