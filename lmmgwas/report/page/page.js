"use strict";
// The page's own script: plots by plotly.js, tables that can be sorted, searched and copied.
// Text from files reaches the page through textContent and the canvas only; plotly.js, which
// reads some markup, gets it with that markup escaped.
(() => {
  const report = JSON.parse(document.getElementById("report-data").textContent);
  const root = document.documentElement;
  const FONT = getComputedStyle(document.body).fontFamily;
  const CLEAR = "rgba(0,0,0,0)";
  const CONFIG = { displayModeBar: false, doubleClick: "reset", doubleClickDelay: 700, showTips: false, responsive: false };

  const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const markupSafe = (text) => String(text).replace(/[&<>]/g, (c) => `&#${c.charCodeAt(0)};`);
  const short = (name) => (name.length > 24 ? `${name.slice(0, 23)}…` : name);
  const whole = (n) => n.toLocaleString("en-US");

  function make(tag, text, attributes = {}) {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  }

  const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
  function pText(negLog10, digits = 3) {
    if (negLog10 < 3) return String(Number((10 ** -negLog10).toPrecision(digits)));
    let exponent = Math.floor(-negLog10);
    let mantissa = (10 ** (-negLog10 - exponent)).toPrecision(digits);
    if (Number(mantissa) === 10) [mantissa, exponent] = [(1).toPrecision(digits), exponent + 1];
    return `${mantissa}×10${String(exponent).replace(/[-0-9]/g, (c) => SUPERSCRIPT[c])}`;
  }

  // ---- what is said of a point -------------------------------------------------------------

  const tip = document.getElementById("tip");
  function showTip(event, title, facts) {
    tip.replaceChildren();
    if (title) tip.append(make("strong", title));
    const list = make("dl");
    for (const [label, value] of facts) list.append(make("dt", label), make("dd", value));
    tip.append(list);
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const [x, y] = [event.clientX, event.clientY];
    const left = x + 16 + box.width > innerWidth ? x - 16 - box.width : x + 16;
    const top = y + 16 + box.height > innerHeight ? y - 16 - box.height : y + 16;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${Math.max(4, top)}px`;
  }
  const hideTip = () => { tip.hidden = true; };

  // ---- plots -------------------------------------------------------------------------------

  function baseLayout(width, height, margin) {
    return {
      width, height, margin, paper_bgcolor: CLEAR, plot_bgcolor: CLEAR, showlegend: false,
      font: { family: FONT, size: 12, color: colour("ink") },
      hovermode: "closest", hoverdistance: 12, dragmode: "zoom",
    };
  }

  function axis(title, more) {
    return {
      title: { text: title, standoff: 8, font: { size: 12, color: colour("muted") } },
      zeroline: false, gridcolor: colour("grid"), linecolor: colour("line"), fixedrange: false,
      automargin: false, tickfont: { color: colour("muted") }, ...more,
    };
  }

  const rule = (y, dash) => ({
    type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, layer: "below",
    line: { color: colour("line"), width: 1, dash },
  });

  // Points of a Manhattan plot are many: they are painted on a canvas over plotly's axes, which
  // bring zoom and hover. A trace without marks is what plotly looks for points in.
  class Manhattan {
    constructor(figure, data) {
      Object.assign(this, { figure, data });
      this.stage = figure.querySelector(".stage");
      this.canvas = figure.querySelector("canvas");
      this.axes = figure.querySelector(".axes");
      this.ring = figure.querySelector(".ring");
      this.place();
      this.tools();
    }

    place() {
      const { data } = this;
      const n = data.pos.length;
      this.x = new Float64Array(n);
      this.kind = new Uint8Array(n); // 0 dark, 1 light, 2 significant
      this.chrom = new Uint16Array(n);
      let k = 0;
      data.chroms.forEach((chrom, order) => {
        for (const end = k + chrom.n; k < end; k += 1) {
          this.x[k] = data.pos[k] + chrom.shift;
          this.chrom[k] = order;
          this.kind[k] = data.y[k] > data.lines[0] ? 2 : order % 2;
        }
      });
      const edge = data.total * 0.008 + 1;
      this.full = { x: [-edge, data.total + edge], y: [0, data.top] };
    }

    tools() {
      const bar = make("div", undefined, { class: "tools" });
      const label = make("label", "Chromosome ");
      this.select = make("select");
      this.select.append(make("option", "all", { value: "" }));
      this.data.chroms.forEach((c, k) => this.select.append(make("option", c.name, { value: k })));
      this.select.addEventListener("change", () => this.toChromosome(this.select.value));
      label.append(this.select);
      const back = make("button", "Whole genome", { type: "button" });
      back.addEventListener("click", () => this.zoom(this.full.x, this.full.y));
      if (this.data.chroms.length > 1) bar.append(label);
      bar.append(back);
      this.stage.before(bar);
    }

    toChromosome(order) {
      if (order === "") return this.zoom(this.full.x, this.full.y);
      const { left, width } = this.data.chroms[order];
      return this.zoom([left - 0.02 * width, left + 1.02 * width], this.full.y);
    }

    toPlace(index, pos) {
      const chrom = this.data.chroms.find((c) => c.index === index);
      if (!chrom) return;
      const at = pos + chrom.shift;
      const reach = Math.min(1.5e6, chrom.width / 2 + 1);
      this.zoom([at - reach, at + reach], this.full.y);
      this.figure.scrollIntoView({ block: "center" });
    }

    zoom(x, y) {
      const [low, high] = this.full.x;
      const range = [Math.max(low, x[0]), Math.min(high, x[1])];
      Plotly.relayout(this.axes, { "xaxis.range": range, "yaxis.range": [...y] });
    }

    render() {
      const { data } = this;
      const width = this.stage.clientWidth;
      const narrow = width < 600;
      this.margin = { l: narrow ? 44 : 54, r: narrow ? 10 : 72, t: 10, b: 46 };
      this.height = narrow ? 300 : 390;
      const layout = baseLayout(width, this.height, this.margin);
      const [low, high] = this.full.x;
      const now = this.axes._fullLayout; // zoomed in, perhaps
      const range = [...(now ? now.xaxis.range : this.full.x)];
      layout.xaxis = axis("", { range: [...range], minallowed: low, maxallowed: high, showgrid: false,
        ticks: "", ...this.ticks(range, width) });
      layout.xaxis.title.text = this.xTitle(range);
      layout.yaxis = axis("−log₁₀ P", { range: [...(now ? now.yaxis.range : this.full.y)], minallowed: 0, ticks: "",
        nticks: narrow ? 6 : 8 });
      const lines = data.lines[1] < data.lines[0] ? [0, 1] : [0];
      layout.shapes = lines.map((k) => rule(data.lines[k], k ? "dot" : "dash"));
      layout.annotations = narrow ? [] : lines.map((k) => ({
        xref: "paper", x: 1, xanchor: "left", xshift: 6, y: data.lines[k], showarrow: false,
        text: pText(data.lines[k], 2).replace(".0×", "×"), font: { size: 11, color: colour("muted") },
      }));
      const trace = { type: "scatter", mode: "none", x: this.x, y: data.y, hoverinfo: "none" };
      const first = !now;
      return Plotly.react(this.axes, [trace], layout, CONFIG).then(() => {
        if (first) this.listen();
        this.paint();
      });
    }

    listen() {
      this.axes.on("plotly_relayout", () => this.zoomed());
      this.axes.on("plotly_relayouting", () => this.paint());
      this.axes.on("plotly_hover", (event) => this.say(event));
      this.axes.on("plotly_unhover", () => { hideTip(); this.ring.hidden = true; });
    }

    zoomed() {
      if (this.busy) return;
      this.busy = true;
      hideTip();
      this.ring.hidden = true;
      const range = [...this.axes._fullLayout.xaxis.range];
      const ticks = this.ticks(range, this.stage.clientWidth);
      Plotly.relayout(this.axes, {
        "xaxis.tickvals": ticks.tickvals, "xaxis.ticktext": ticks.ticktext,
        "xaxis.title.text": this.xTitle(range),
      }).then(() => { this.busy = false; this.paint(); });
    }

    seen([low, high]) {
      return this.data.chroms.filter((c) => c.left + c.width >= low && c.left <= high);
    }

    xTitle(range) {
      const seen = this.seen(range);
      const one = seen.length === 1 ? seen[0] : null;
      this.select.value = one ? this.data.chroms.indexOf(one) : "";
      return one ? `Position on chromosome ${markupSafe(short(one.name))} (Mb)` : "Chromosome";
    }

    ticks(range, width) {
      const scale = (width - this.margin.l - this.margin.r) / (range[1] - range[0]);
      const seen = this.seen(range);
      const [tickvals, ticktext] = [[], []];
      if (seen.length === 1) {
        const { shift } = seen[0];
        const step = niceStep(90 / scale);
        const first = Math.max(0, Math.ceil((range[0] - shift) / step));
        for (let k = first; k * step + shift <= range[1]; k += 1) {
          tickvals.push(k * step + shift);
          ticktext.push(String(Number((k * step / 1e6).toPrecision(10))));
        }
        return { tickmode: "array", tickvals, ticktext };
      }
      const pen = this.canvas.getContext("2d");
      pen.font = `12px ${FONT}`;
      let free = -Infinity;
      for (const chrom of seen) {
        const [a, b] = [Math.max(chrom.left, range[0]), Math.min(chrom.left + chrom.width, range[1])];
        const name = short(chrom.name);
        const [at, half] = [(a + b) / 2, pen.measureText(name).width / 2 + 2];
        if (at * scale - half < free) continue;
        tickvals.push(at);
        ticktext.push(markupSafe(name));
        free = at * scale + half;
      }
      return { tickmode: "array", tickvals, ticktext, tickangle: 0 };
    }

    paint() {
      const { canvas, margin, data, axes } = this;
      const { xaxis, yaxis } = axes._fullLayout;
      const pad = 6;
      const width = this.stage.clientWidth - margin.l - margin.r;
      const height = this.height - margin.t - margin.b;
      const dense = window.devicePixelRatio || 1;
      canvas.width = (width + 2 * pad) * dense;
      canvas.height = (height + 2 * pad) * dense;
      canvas.style.width = `${width + 2 * pad}px`;
      canvas.style.height = `${height + 2 * pad}px`;
      canvas.style.left = `${margin.l - pad}px`;
      canvas.style.top = `${margin.t - pad}px`;
      const pen = canvas.getContext("2d");
      pen.scale(dense, dense);
      pen.translate(pad, pad);
      const [x0, y0] = [xaxis.range[0], yaxis.range[0]];
      const sx = width / (xaxis.range[1] - x0);
      const sy = height / (yaxis.range[1] - y0);
      const zoomed = sx > 3 * width / data.total;
      const radius = zoomed ? 2.8 : width < 560 ? 1.5 : 1.9;
      const colours = ["dark", "light", "significant"].map(colour);
      this.shown = 0;
      for (let kind = 0; kind < 3; kind += 1) {
        const r = radius + (kind === 2 ? 0.6 : 0);
        const stamp = dot(colours[kind], r, dense);
        const [size, half] = [stamp.width / dense, stamp.width / dense / 2];
        for (let k = 0; k < this.x.length; k += 1) {
          if (this.kind[k] !== kind) continue;
          const [px, py] = [(this.x[k] - x0) * sx, height - (data.y[k] - y0) * sy];
          if (px < 0 || px > width || py < 0 || py > height + 0.5) continue;
          pen.drawImage(stamp, px - half, py - half, size, size);
          this.shown += 1;
        }
      }
      this.name(pen, width, (x, y) => [(x - x0) * sx, height - (y - y0) * sy]);
      canvas.dataset.shown = this.shown;
    }

    name(pen, width, toScreen) {
      pen.font = `11px ${FONT}`;
      pen.textAlign = "center";
      pen.fillStyle = colour("ink");
      const taken = [];
      const named = []; // of what looks like one peak, the strongest only
      for (const lead of this.data.leads) {
        const chrom = this.data.chroms.find((c) => c.index === lead.chrom);
        if (!chrom) continue;
        const [px, py] = toScreen(lead.pos + chrom.shift, lead.y);
        const text = short(lead.name);
        const half = pen.measureText(text).width / 2 + 3;
        if (px < 0 || px > width || py < 6) continue;
        if (named.some((at) => Math.abs(at - px) < 0.01 * width)) continue;
        const x = Math.min(Math.max(px, half), width - half);
        const box = [x - half, py - 20, x + half, py - 6];
        if (taken.some((b) => box[0] < b[2] && b[0] < box[2] && box[1] < b[3] && b[1] < box[3])) continue;
        taken.push(box);
        named.push(px);
        pen.fillText(text, x, py - 8);
      }
    }

    say(event) {
      const k = event.points[0].pointNumber;
      const { data } = this;
      const { xaxis, yaxis } = this.axes._fullLayout;
      this.ring.style.left = `${xaxis._offset + xaxis.l2p(this.x[k])}px`;
      this.ring.style.top = `${yaxis._offset + yaxis.l2p(data.y[k])}px`;
      this.ring.hidden = false;
      const [effect, other] = data.pairs[data.pair[k]];
      const [af, beta, se] = [data.af[k], data.beta[k], data.se[k]];
      showTip(event.event, data.id[k], [
        ["Position", `${data.chroms[this.chrom[k]].name}:${whole(data.pos[k])}`],
        ["Effect allele", other && effect ? `${effect} (other ${other})` : effect],
        ["Its frequency", af === null ? "" : String(af)],
        ["β ± se", beta === null ? "" : se === null ? String(beta) : `${beta} ± ${se}`],
        ["P", pText(data.y[k])],
      ].filter(([, value]) => value)); // a table may say less
    }
  }

  function niceStep(least) {
    const power = 10 ** Math.floor(Math.log10(least));
    return [1, 2, 5, 10].map((k) => k * power).find((step) => step >= least);
  }

  function dot(fill, radius, dense) {
    const stamp = document.createElement("canvas");
    stamp.width = stamp.height = Math.ceil(2 * radius * dense) + 2;
    const pen = stamp.getContext("2d");
    pen.fillStyle = fill;
    pen.beginPath();
    pen.arc(stamp.width / 2, stamp.height / 2, radius * dense, 0, 2 * Math.PI);
    pen.fill();
    return stamp;
  }

  class Quantiles {
    constructor(figure, data) {
      Object.assign(this, { figure, data, split: false });
      this.stage = figure.querySelector(".stage");
      this.axes = figure.querySelector(".axes");
      if (data.curves.length > 1) this.tools();
    }

    tools() {
      const bar = make("div", undefined, { class: "tools" });
      this.buttons = ["All variants", "By frequency"].map((text, k) => {
        const button = make("button", text, { type: "button", "aria-pressed": String(k === 0) });
        button.addEventListener("click", () => this.show(k === 1));
        bar.append(button);
        return button;
      });
      this.stage.before(bar);
    }

    show(split) {
      this.split = split;
      this.buttons.forEach((b, k) => b.setAttribute("aria-pressed", String((k === 1) === split)));
      this.render();
    }

    render() {
      const { data, split } = this;
      const width = Math.min(this.stage.clientWidth, 520);
      const layout = baseLayout(width, Math.min(width * 0.86, 400), { l: 48, r: 14, t: 8, b: 46 });
      layout.xaxis = axis("Expected −log₁₀ P", { range: [0, data.right], showgrid: false, minallowed: 0 });
      layout.yaxis = axis("Observed −log₁₀ P", { range: [0, data.top], minallowed: 0, nticks: 7 });
      const end = Math.min(data.right, data.top);
      layout.shapes = [{ type: "line", x0: 0, y0: 0, x1: end, y1: end, layer: "below",
        line: { color: colour("line"), width: 1 } }];
      const { band } = data;
      const traces = [{
        type: "scatter", mode: "lines", fill: "toself", fillcolor: colour("band"), line: { width: 0 },
        x: [...band.x, ...[...band.x].reverse()], y: [...band.upper, ...[...band.lower].reverse()],
        hoverinfo: "skip",
      }];
      this.drawn = split ? data.curves.slice(1) : data.curves.slice(0, 1);
      for (const curve of this.drawn) {
        traces.push({
          type: "scatter", mode: "markers", x: curve.expected, y: curve.observed, hoverinfo: "none",
          marker: { size: 5, color: colour(`class${curve.colour}`), line: { width: 0 } }, cliponaxis: false,
        });
      }
      const first = !this.axes._fullLayout;
      return Plotly.react(this.axes, traces, layout, CONFIG).then(() => {
        if (!first) return;
        this.axes.on("plotly_hover", (event) => {
          const { curveNumber, x, y } = event.points[0];
          const curve = this.drawn[curveNumber - 1];
          showTip(event.event, split || curve.colour ? `Frequency ${curve.name}` : "",
            [["Expected P", pText(x)], ["Observed P", pText(y)]]);
        });
        this.axes.on("plotly_unhover", hideTip);
      });
    }
  }

  class Heritability {
    constructor(figure, data) {
      Object.assign(this, { figure, data });
      this.stage = figure.querySelector(".stage");
      this.axes = figure.querySelector(".axes");
    }

    render() {
      const { data } = this;
      const width = Math.min(this.stage.clientWidth, 520);
      const layout = baseLayout(width, Math.min(width * 0.86, 400), { l: 48, r: 14, t: 8, b: 46 });
      const longest = Math.max(...data.names.map((name) => short(name).length));
      const every = Math.ceil(data.names.length * (6 + 7 * longest) / (width - 62));
      const shown = data.names.map((_, k) => k).filter((k) => k % every === 0);
      layout.xaxis = axis("Chromosome left out", {
        range: [-0.7, data.names.length - 0.3], tickmode: "array", tickvals: shown, showgrid: false,
        ticktext: shown.map((k) => markupSafe(short(data.names[k]))), tickangle: 0, fixedrange: true,
      });
      const reach = data.h2.map((h2, k) => [h2 - (data.se[k] || 0), h2 + (data.se[k] || 0)]).flat();
      reach.push(data.whole - (data.whole_se || 0), data.whole + (data.whole_se || 0));
      const [low, high] = [Math.min(...reach), Math.max(...reach)];
      const room = Math.max(0.12 * (high - low), 0.02);
      layout.yaxis = axis("h²", { range: [Math.max(0, low - room), Math.min(1, high + room)], fixedrange: true, nticks: 6 });
      layout.dragmode = false;
      layout.shapes = [{ ...rule(data.whole, "solid") }];
      if (data.whole_se) {
        layout.shapes.push({ type: "rect", xref: "paper", x0: 0, x1: 1, layer: "below", line: { width: 0 },
          y0: data.whole - data.whole_se, y1: data.whole + data.whole_se, fillcolor: colour("band"), opacity: 0.6 });
      }
      const trace = {
        type: "scatter", mode: "markers", x: data.names.map((_, k) => k), y: data.h2, hoverinfo: "none",
        marker: { size: 7, color: colour("dark") }, cliponaxis: false,
        error_y: { type: "data", array: data.se.map((se) => se || 0), color: colour("light"), thickness: 1.5, width: 0 },
      };
      const first = !this.axes._fullLayout;
      return Plotly.react(this.axes, [trace], layout, CONFIG).then(() => {
        if (!first) return;
        this.axes.on("plotly_hover", (event) => {
          const k = event.points[0].pointNumber;
          const se = data.se[k] === null ? "" : ` ± ${data.se[k].toFixed(3)}`;
          showTip(event.event, `Without ${data.names[k]}`, [["h²", data.h2[k].toFixed(3) + se], ["Fit", data.status[k]]]);
        });
        this.axes.on("plotly_unhover", hideTip);
      });
    }
  }
  // ---- tables ------------------------------------------------------------------------------

  async function toClipboard(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch (_) { // of files, or without the right to it
      const area = make("textarea", text, { readonly: "" });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  }

  function copyButton(text, content, said) {
    const button = make("button", text, { type: "button" });
    button.addEventListener("click", async () => {
      await toClipboard(content());
      button.textContent = said();
      setTimeout(() => { button.textContent = text; }, 1600);
    });
    return button;
  }

  const order = new Intl.Collator("en", { numeric: true });
  const copied = (cell) => cell.dataset.copy ?? cell.textContent;
  // A spreadsheet would run what begins like a formula.
  const harmless = (cell) => (!cell.classList.contains("number") && /^[=+@-]./.test(copied(cell)) ? `'${copied(cell)}` : copied(cell));

  function dress(block) {
    const table = block.querySelector("table");
    if (!table) return;
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    const shown = () => [...body.rows].filter((row) => !row.hidden);
    heads.forEach((head, k) => {
      const button = make("button", head.textContent, { type: "button" });
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((h) => h.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const value = (row) => row.cells[k].dataset.order;
        const compare = (a, b) => (value(a) === undefined || value(b) === undefined
          ? order.compare(a.cells[k].textContent, b.cells[k].textContent)
          : Number(value(a)) - Number(value(b)));
        const sorted = [...body.rows].sort((a, b) => (down ? -1 : 1) * compare(a, b));
        body.append(...sorted);
      });
    });
    const bar = make("div", undefined, { class: "tools" });
    const search = make("input", undefined, { type: "search", placeholder: "Search", "aria-label": "Search this table" });
    const count = make("span", "", { class: "count", role: "status" });
    const tell = () => { count.textContent = `${shown().length} of ${rows.length}`; };
    search.addEventListener("input", () => {
      const wanted = search.value.trim().toLowerCase();
      for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
      tell();
    });
    const tsv = () => [heads, ...shown().map((row) => [...row.cells])]
      .map((cells) => cells.map(harmless).join("\t")).join("\n") + "\n";
    tell();
    if (rows.length > 5) bar.append(search, count);
    bar.append(make("span", undefined, { class: "space" }),
      copyButton("Copy as TSV", tsv, () => `Copied ${shown().length} rows`));
    table.parentElement.before(bar);
  }

  // ---- putting it together -----------------------------------------------------------------

  const KINDS = { manhattan: Manhattan, qq: Quantiles, h2: Heritability };
  const views = new Map();

  function draw(figure) {
    if (views.has(figure)) return views.get(figure).drawn;
    const trait = report.traits[figure.closest("[data-trait]").dataset.trait];
    const kind = figure.dataset.plot;
    const view = new KINDS[kind](figure, trait[kind]);
    views.set(figure, view);
    view.drawn = view.render().then(() => {
      figure.dataset.drawn = "yes";
      return view;
    });
    let width = view.stage.clientWidth;
    new ResizeObserver(() => {
      if (view.stage.clientWidth === width || !view.stage.clientWidth) return;
      width = view.stage.clientWidth;
      view.render();
    }).observe(view.stage);
    return view.drawn;
  }

  const figures = [...document.querySelectorAll("[data-plot]")];
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) draw(entry.target);
  }, { rootMargin: "500px" });
  figures.forEach((figure) => watcher.observe(figure));

  const redraw = () => views.forEach((view) => view.render());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("beforeprint", () => figures.forEach(draw));
  addEventListener("scroll", hideTip, { passive: true });

  document.querySelectorAll("[data-table]").forEach(dress);
  document.querySelectorAll("[data-text]").forEach((block) => {
    const text = block.querySelector("p");
    const bar = make("div", undefined, { class: "tools" });
    bar.append(copyButton("Copy text", () => text.textContent, () => "Copied"));
    text.after(bar);
  });
  document.querySelectorAll("td[data-chrom]").forEach((cell) => {
    const button = make("button", cell.textContent, { type: "button", title: "Show in the plot" });
    cell.replaceChildren(button);
    button.addEventListener("click", () => {
      const figure = cell.closest("[data-trait]").querySelector("[data-plot=manhattan]");
      if (!figure) return;
      draw(figure).then((view) => view.toPlace(Number(cell.dataset.chrom), Number(cell.dataset.pos)));
    });
  });
})();
