// The live page: takes the server's stream and draws it; decides nothing, reckons nothing.
"use strict";

const byId = (id) => document.getElementById(id);
const known = (x) => x !== null && x !== undefined;
const number = (x, digits) =>
  x.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const money = (x, sign) => (known(x) ? (sign && x > 0 ? "+" : "") + number(x, 2) : "–");
const percent = (x, digits = 2) => (known(x) ? number(x * 100, digits) + " %" : "–");
const times = (x) => (known(x) ? number(x, 2) + "x" : "–");
const size = (x) => (known(x) ? x.toLocaleString("en-US", { maximumFractionDigits: 8 }) : "–");
const price = (x) => (known(x) ? number(x, Math.abs(x) >= 100 ? 2 : Math.abs(x) >= 1 ? 4 : 8) : "–");
const moment = (ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
const UNITS = { money, percent, times, count: (x) => number(x, 0) };

function make(tag, css, ...parts) {
  const node = document.createElement(tag);
  if (css) node.className = css;
  node.append(...parts.map((p) => (p instanceof Node ? p : String(p))));
  return node;
}

// -- the token: from the address once, kept for this tab only -------------------------------------

const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given !== null) {
  sessionStorage.setItem("leverpack-token", given);
  history.replaceState(null, "", location.pathname);
}
const token = sessionStorage.getItem("leverpack-token") ?? "";
const headers = token ? { "X-Leverpack-Token": token } : {};

// -- the stream -----------------------------------------------------------------------------------

let state = null;
let received = 0;
let refused = "";

async function listen() {
  const answer = await fetch("stream", { headers, cache: "no-store" });
  if (!answer.ok) {
    refused = answer.status === 403 ? (await answer.json()).said : "";
    throw new Error(refused || `the server answers ${answer.status}`);
  }
  refused = "";
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the stream has ended");
    received = performance.now();
    text += value;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) take(text.slice(0, end));
  }
}

function take(message) {
  const found = /^event: (\w+)\ndata: (.*)$/s.exec(message);
  if (!found) return; // a ping
  const said = JSON.parse(found[2]);
  if (found[1] === "charts") return drawCharts(said);
  state = { ...said, at: performance.now() };
  draw();
}

async function stay() {
  for (;;) {
    try {
      await listen();
    } catch (fault) {
      document.body.classList.add("lost");
      show("pulse", refused || "connection lost, trying again", "pill silent");
    }
    await new Promise((go) => setTimeout(go, 1000));
  }
}

// -- drawing --------------------------------------------------------------------------------------

function show(id, text, css) {
  const node = byId(id);
  if (node.textContent !== text) node.textContent = text;
  if (css !== undefined) node.className = css;
}

function draw() {
  document.body.classList.remove("lost");
  document.documentElement.dataset.serial = String(Number(document.documentElement.dataset.serial ?? 0) + 1);
  show("title", state.title);
  document.title = (state.positions[0] ? percent(state.positions[0].distance, 1) + " · " : "") + state.title;
  byId("about").replaceChildren(
    `${state.symbols.join(", ")} ${state.timeframe} at ${state.venue} `,
    state.real_money ? make("span", "real", "REAL MONEY") : "(no real money)",
    state.run ? ` · run ${state.run}` : "",
  );
  show("journal", state.journal);
  show("token-said", state.may_halt ? "" : "Without its token this page only shows; the kill switch is in `leverpack stop`.");
  byId("kill").hidden = !state.may_halt;
  for (const button of document.querySelectorAll("#kill button"))
    button.disabled = Number(button.dataset.level) <= Math.max(state.halted ?? 0, state.asked);
  drawPulse();
  drawPositions();
  drawAccount();
  drawOrders();
  drawLimits();
  drawAlerts();
}

function drawPulse() {
  if (!state || document.body.classList.contains("lost")) return;
  const age = known(state.age_s) ? state.age_s + (performance.now() - state.at) / 1000 : null;
  const silent = !state.ended && (age === null || age > 20);
  const words = !state.known ? "nothing written yet" : state.ended ? "the run has ended"
    : `${silent ? "silent for" : "written"} ${age < 90 ? Math.round(age) + " s" : Math.round(age / 60) + " min"}${silent ? "" : " ago"}`;
  show("pulse", words, "pill " + (state.ended || !state.known ? "" : silent ? "silent" : "alive"));
  drawBanners(silent && state.known);
}

function drawBanners(silent) {
  const found = [];
  const bad = (text) => found.push(["bad-news", text]);
  const careful = (text) => found.push(["careful", text]);
  if (state.fault) bad(state.fault);
  if (silent) bad("The run has not written for a while: it may have died. Stops that rest at the exchange still work; look at it now.");
  if (state.halted) bad(`Halted: ${state.levels[state.halted]} (${state.halt_reason}). It stays so until leverpack live --reset.`);
  if (state.asked > (state.halted ?? 0)) bad(`Halt asked for: ${state.levels[state.asked]}. ${state.ended ? "The run has ended: the next one starts halted." : "The run has not done it yet."}`);
  if (state.stopped) bad(`A limit has stopped trading: ${state.stopped}`);
  if (state.away) bad(`The venue is away, nothing is opened: ${state.away}`);
  for (const feed of state.feeds ?? []) if (feed.stale) careful(`${feed.symbol}: the candle stream is silent, nothing is opened.`);
  for (const p of state.positions) if (p.protected < 0.999) bad(`${p.symbol}: ${p.protected ? "stops rest for a part of the position only" : "no stop rests at the exchange"}.`);
  if (state.known && !state.live && !state.ended) careful("Warm-up: no candle has closed since the start.");
  const text = JSON.stringify(found);
  const node = byId("banners");
  if (node.dataset.text === text) return; // said once to a screen reader
  node.dataset.text = text;
  node.replaceChildren(...found.map(([css, words]) => make("div", "banner " + css, words)));
}

const WIDEST = 0.5;
const place = (distance) => Math.sqrt(Math.min(Math.max(distance, 0), WIDEST) / WIDEST) * 100;

function drawPositions() {
  if (!state.positions.length) {
    byId("positions").replaceChildren(make("p", "flat soft", state.known ? "Flat: no position, nothing can be liquidated." : "The run has not written how it stands yet."));
    return;
  }
  byId("positions").replaceChildren(...state.positions.map(position));
}

function position(p) {
  const node = make("article", "position " + p.mood);
  node.dataset.symbol = p.symbol;
  const gain = make("span", "gain " + (p.unrealised > 0 ? "good" : p.unrealised < 0 ? "bad" : ""), money(p.unrealised, true));
  gain.title = "open profit";
  node.append(make("div", "head",
    make("span", "name", p.symbol, " ", make("span", "soft", `${p.side} ${size(Math.abs(p.size))} · ${money(p.notional)} ${state.quote} · ${size(p.leverage)}x ${p.isolated ? "isolated" : "cross"}`)),
    gain));
  node.append(make("div", "away", make("b", "", known(p.distance) ? percent(p.distance) : "none"),
    make("span", "", known(p.distance) ? `${p.side === "long" ? "fall" : "rise"} of the mark to liquidation` : "no price liquidates it")));
  if (known(p.distance)) node.append(...bar(p));
  const facts = make("dl", "facts");
  const fact = (name, text, css) => facts.append(make("div", "", make("dt", "", name), make("dd", css ?? "", text)));
  fact("mark", price(p.mark));
  fact("liquidation", price(p.liquidation));
  fact("venue's liquidation", price(p.venue_liquidation));
  fact("entry", price(p.entry));
  fact("stop", known(p.stop) ? price(p.stop) : "none", known(p.stop) ? "" : "flag");
  fact("margin ratio", percent(p.margin_ratio));
  fact("venue's ratio", percent(p.venue_margin_ratio));
  if (known(p.stop_left)) fact("stop before liquidation", percent(p.stop_left), p.stop_left > 0 ? "" : "flag");
  if (p.leverage !== p.decided) fact("leverage decided", size(p.decided) + "x", "flag");
  node.append(facts);
  return node;
}

function bar(p) {
  const track = make("div", "track");
  track.setAttribute("role", "meter");
  track.setAttribute("aria-valuemin", "0");
  track.setAttribute("aria-valuemax", String(WIDEST * 100));
  track.setAttribute("aria-valuenow", String(Math.min(p.distance, WIDEST) * 100));
  track.setAttribute("aria-label", `${p.symbol}: ${percent(p.distance)} to liquidation`);
  const fill = make("div", "fill");
  fill.style.width = place(p.distance) + "%";
  track.append(fill);
  if (known(p.stop_left)) {
    const stop = make("div", "stop" + (p.stop_left > p.distance ? " beyond" : ""));
    stop.style.left = place(p.stop_left) + "%";
    stop.title = `stop at ${price(p.stop)}: ${percent(p.stop_left)} before liquidation`;
    track.append(stop);
  }
  const ticks = make("div", "ticks");
  for (const [at, text] of [[0, "liquidation"], [0.05, "5 %"], [0.1, "10 %"], [0.25, "25 %"], [0.5, "50 %"]]) {
    const tick = make("span", "", text);
    tick.style.left = place(at) + "%";
    ticks.append(tick);
  }
  return [track, ticks];
}

function drawAccount() {
  const card = (key, name, text, value, css) => {
    const data = make("data", "value " + (css ?? ""), text);
    data.id = "account-" + key;
    data.value = known(value) ? value : "";
    return make("div", "card", make("span", "soft small", name), data);
  };
  const tone = (x) => (x > 0 ? "good" : x < 0 ? "bad" : "");
  byId("account").replaceChildren(
    card("equity", `Equity, ${state.quote}`, money(state.equity), state.equity),
    card("free_margin", "Free margin", money(state.free_margin), state.free_margin),
    card("margin_ratio", "Margin ratio", known(state.margin_ratio) ? percent(state.margin_ratio) : "flat", state.margin_ratio,
      known(state.margin_ratio) && state.margin_ratio >= state.call_ratio ? "bad" : ""),
    card("effective_leverage", "Leverage in effect", times(state.effective_leverage), state.effective_leverage),
    card("day_profit", "Today", money(state.day_profit, true), state.day_profit, tone(state.day_profit)),
    card("costs", "Fees / funding, this run", `${money(state.fees)} / ${money(state.funding, true)}`, state.fees),
  );
}

function table(heads, rows) {
  const cells = (tag, row) => make("tr", "", ...row.map(([text, css]) => make(tag, css ?? "", text)));
  const body = make("tbody", "", ...rows.map((r) => cells("td", r)));
  return make("div", "scroll", make("table", "", make("thead", "", cells("th", heads)), body));
}

function drawOrders() {
  if (!state.orders.length) return byId("orders").replaceChildren(make("p", "soft", "None."));
  byId("orders").replaceChildren(table(
    [["symbol", "l"], ["order", "l"], ["amount"], ["price"], ["state", "l"]],
    state.orders.map((o) => [
      [o.symbol, "l"],
      [`${o.tag || (o.reduce_only ? "exit" : "entry")} · ${o.side} ${o.conditional ? "stop " : ""}${o.kind}`, "l"],
      [size(o.amount) + (o.filled ? ` (${size(o.filled)} filled)` : "")],
      [price(known(o.trigger) ? o.trigger : o.price)],
      [o.known ? (o.reduce_only ? "resting, reduce-only" : "resting") : "asking the venue", "l" + (o.known ? "" : " flag")],
    ])));
}

function drawLimits() {
  if (!state.limits.length) return byId("limits").replaceChildren(make("p", "soft", "None set."));
  byId("limits").replaceChildren(...state.limits.map((l) => {
    const rail = make("i", "");
    rail.style.setProperty("--share", Math.min(100, l.share * 100) + "%");
    rail.style.setProperty("--tone", `var(--${l.share >= 1 ? "red" : l.share >= 0.75 ? "amber" : "blue"})`);
    const unit = UNITS[l.unit];
    return make("div", "limit", make("span", "", l.name.replace("max_", "").replaceAll("_", " ")),
      make("span", l.share >= 1 ? "flag" : "", `${unit(l.used)} of ${unit(l.limit)}`), rail);
  }));
}

function drawAlerts() {
  if (!state.alerts.length) return byId("alerts").replaceChildren(make("p", "soft", "None."));
  byId("alerts").replaceChildren(...state.alerts.map((a) =>
    make("div", "alert", make("span", "soft", moment(a.time_ms)), make("span", "flag", (a.kind ?? "").replaceAll("_", " ")), make("span", "", a.text))));
}

// -- charts ---------------------------------------------------------------------------------------

function drawCharts(said) {
  const rows = said.rows;
  chart(byId("equity"), rows.map((r) => [r[0], r[1]]), (v) => number(v, 0), {});
  chart(byId("ratio"), rows.map((r) => [r[0], r[2]]), (v) => percent(v, 0), { floor: 0, call: said.call_ratio });
  const span = rows.length ? `${rows.length} candles from ${moment(rows[0][0])}` : "no candle yet";
  show("equity-said", span);
  show("ratio-said", rows.length ? `worst inside each candle; call at ${percent(said.call_ratio, 0)}` : "");
}

function chart(svg, points, label, { floor, call }) {
  const [width, height, left, bottom] = [600, 176, 8, 18];
  const shape = (name, facts, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(facts)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    svg.append(node);
  };
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.replaceChildren();
  const values = points.map((p) => p[1]).filter(known);
  if (!values.length) return;
  let low = Math.min(...values, floor ?? Infinity);
  let high = Math.max(...values);
  // The call is drawn where it is in sight: a calm ratio would be a line at the bottom.
  if (call && high > call / 2) high = Math.max(high, call * 1.1);
  if (high === low) [low, high] = [low - 1, high + 1];
  const first = points[0][0], last = points[points.length - 1][0];
  const x = (t) => left + ((t - first) / (last - first || 1)) * (width - left - 4);
  const y = (v) => 6 + (1 - (v - low) / (high - low)) * (height - bottom - 10);
  for (const v of [low, (low + high) / 2, high]) {
    shape("line", { class: "grid", x1: left, x2: width, y1: y(v), y2: y(v), "vector-effect": "non-scaling-stroke" });
  }
  if (call && call <= high) shape("line", { class: "call", x1: left, x2: width, y1: y(call), y2: y(call), "vector-effect": "non-scaling-stroke" });
  let path = "", pen = false;
  for (const [t, v] of points) {
    if (!known(v)) { pen = false; continue; }
    path += `${pen ? "L" : "M"}${x(t).toFixed(1)} ${y(v).toFixed(1)}`;
    if (!pen) path += "h.01"; // a single candle is a dot
    pen = true;
  }
  shape("path", { class: "line", d: path, "vector-effect": "non-scaling-stroke", "stroke-linecap": "round" });
  labels(svg, [low, high].map((v) => [y(v) / height, label(v)]), [moment(first), moment(last)]);
}

// Text is laid over the drawing, as the drawing is stretched to its place.
function labels(svg, levels, ends) {
  const figure = svg.closest("figure");
  figure.querySelector(".labels")?.remove();
  const layer = make("div", "labels");
  for (const [at, text] of levels) {
    const node = make("span", "level", text);
    node.style.top = at * 100 + "%";
    layer.append(node);
  }
  layer.append(make("span", "from", ends[0]), make("span", "to", ends[1]));
  figure.append(layer);
}

// -- the kill switch ------------------------------------------------------------------------------

let armed = null;
function disarm() {
  if (armed) armed.button.classList.remove("armed");
  if (armed) armed.button.querySelector("b").textContent = armed.text;
  armed = null;
}
for (const button of document.querySelectorAll("#kill button"))
  button.addEventListener("click", async () => {
    if (armed?.button !== button) {
      disarm();
      const name = button.querySelector("b");
      armed = { button, text: name.textContent };
      name.textContent = "Press again: " + name.textContent.toLowerCase();
      button.classList.add("armed");
      setTimeout(() => armed?.button === button && disarm(), 5000);
      return;
    }
    disarm();
    try {
      const answer = await fetch("halt", {
        method: "POST",
        headers: { ...headers, "Content-Type": "application/json" },
        body: JSON.stringify({ level: Number(button.dataset.level) }),
      });
      const { said } = await answer.json();
      show("said", answer.ok ? `Asked for: ${said}.` : `Refused: ${said}`, "small " + (answer.ok ? "" : "bad"));
    } catch (fault) {
      show("said", "The page's server does not answer: use `leverpack stop`.", "small bad");
    }
  });

setInterval(drawPulse, 1000);
stay();
