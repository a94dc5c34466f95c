// Columns of numbers: the way back from leverpack/report/pack.py.
"use strict";
const columns = (() => {
  const packed = JSON.parse(document.getElementById("columns").textContent);
  document.getElementById("columns").textContent = "";
  const opened = new Map();

  async function inflate(text) {
    const raw = atob(text);
    const bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  async function unpack(entry) {
    const n = entry.n, bytes = await inflate(entry.data), values = new Float64Array(n);
    const times = "unit" in entry;
    const by = times ? entry.unit : Math.pow(10, Math.abs(entry.digits));
    let steps = 0;
    for (let i = 0; i < n; i++) {
      const folded = (bytes[i] | (bytes[n + i] << 8) | (bytes[2 * n + i] << 16)
        | (bytes[3 * n + i] << 24)) >>> 0;
      steps += folded & 1 ? -(folded + 1) / 2 : folded / 2;
      if (times) values[i] = entry.first + steps * by;
      else values[i] = entry.digits < 0 ? steps * by : steps / by;
    }
    if (entry.gaps) for (let i = 0; i < n; i++) if (bytes[4 * n + i]) values[i] = NaN;
    return values;
  }

  function get(name) {
    if (!opened.has(name)) {
      opened.set(name, unpack(packed[name]));
      delete packed[name];
    }
    return opened.get(name);
  }

  async function text(base64) { return new TextDecoder().decode(await inflate(base64)); }

  return { get, text };
})();
