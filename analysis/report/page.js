"use strict";
// What a reader asks of the page: which run a mark is, where else it stands, the table in another order. The figures
// are whole without it; it reads their marks back from the drawing and draws them on other axes.
const find = (query, at = document) => at.querySelector(query), every = (query, at = document) => [...at.querySelectorAll(query)];
const SVG = "http://www.w3.org/2000/svg", HIGH = 27, PAD = { left: 58, right: 14, top: 26, foot: 46 };
const RUN_IDS = ["run_id", "run", "run_name", "curve_id", "trial_id", "run_uuid", "uuid", "job_id", "id"];
const SAID = [...RUN_IDS, "params", "tokens", "flops", "loss", "learning_rate", "lr", "seed", "status", "flag"];
const LABELS = { params: "parameters", tokens: "tokens", flops: "training compute (FLOPs)" };
const KINDS = { params: "count", tokens: "count", flops: "power" };

// ---- words ----
// As the page's own text: marks that nobody sees are written out.
function shown(text) {
  return String(text).replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, c => "\\u" + c.codePointAt(0).toString(16).padStart(4, "0"));
}
function human(x) {
  for (const [unit, word] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]]) if (x >= unit * .9999) return +(x / unit).toPrecision(4) + word;
  return String(+x.toPrecision(4));
}
function power(x) {
  const e = Math.floor(Math.log10(x) + 1e-9), m = x / 10 ** e;
  const ten = "10" + String(e).replace(/[-\d]/g, c => c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]);
  return Math.abs(m - 1) < .005 ? ten : `${+m.toPrecision(3)}×${ten}`;
}
function written(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return shown(value);
  const six = +value.toPrecision(6);
  return (Math.abs(six) >= 1e9 ? six.toExponential() : String(six)).replace("e+", "e");
}
function make(tag, words = "", settings = {}) {
  const element = Object.assign(document.createElement(tag), settings);
  element.textContent = words;
  return element;
}
function button(words, act, label = words) {
  const element = make("button", words, { type: "button", onclick: act });
  element.setAttribute("aria-label", label);
  return element;
}
function save(name, type, content) {
  const link = make("a", "", { download: name, href: URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

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

// ---- a figure's panel ----
class Panel {
  constructor(svg, table) {
    this.svg = svg; this.table = table; this.axes = find(".axes", svg); this.clip = find("clipPath rect", svg);
    const spec = JSON.parse(svg.dataset.panel), box = svg.viewBox.baseVal;
    this.whole = { x: spec.x, y: spec.y }; this.x = { ...spec.x }; this.y = { ...spec.y }; this.choices = spec.choices;
    this.size(box.width, box.height);
    this.marks = every(".marks path, .marks circle", svg).map(element => this.read(element));
    this.refit();
    svg.addEventListener("pointermove", event => this.point(event));
    svg.addEventListener("pointerleave", () => point(null));
    svg.addEventListener("click", event => { if (!this.dragged) { const spot = this.near(event); if (spot) toggle(spot.row); } });
    svg.addEventListener("keydown", event => this.key(event));
    svg.addEventListener("dblclick", () => this.reset());
    svg.addEventListener("pointerdown", event => this.drag(event));
  }
  size(width, height) { this.width = width; this.height = height; this.right = width - PAD.right; this.foot = height - PAD.foot; }
  toX = x => inside(PAD.left + (this.right - PAD.left) * share(this.x, x));
  toY = y => inside(this.foot - (this.foot - PAD.top) * share(this.y, y));
  fromX = x => value(this.x, (x - PAD.left) / (this.right - PAD.left));
  fromY = y => value(this.y, (this.foot - y) / (this.foot - PAD.top));
  read(element) { // a mark's place on the axes, back from the drawing
    const at = element.getAttribute("transform"), text = at || element.getAttribute("d"), xs = [], ys = [];
    const numbers = text.match(/-?[\d.]+/g).map(Number);
    for (let i = 0; i + 1 < numbers.length; i += 2) { xs.push(numbers[i] <= -9999 ? NaN : this.fromX(numbers[i])); ys.push(numbers[i + 1] <= -9999 ? NaN : this.fromY(numbers[i + 1])); }
    const row = element.dataset.row === undefined ? null : Number(element.dataset.row);
    const mark = { element, point: Boolean(at), closed: text.endsWith("Z"), row, ys, columns: { "": xs, [this.whole.x.name]: xs } };
    for (const name of this.choices) {
      if (element.dataset[name]) mark.columns[name] = element.dataset[name].split(" ").map(Number);
      else if (mark.point && row !== null && name !== this.whole.x.name) mark.columns[name] = [this.table.cell(name, row)];
    }
    return mark;
  }
  refit() { // to the width there is, so that words keep their size
    const width = Math.round(this.svg.clientWidth);
    if (width > 80) { this.size(width, Math.round(Math.max(260, Math.min(430, width * .68)))); this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`); }
    this.draw();
  }
  draw() {
    for (const [name, number] of [["width", this.right - PAD.left], ["height", this.foot - PAD.top]]) this.clip.setAttribute(name, Math.max(0, number));
    this.hot = [];
    for (const mark of this.marks) {
      const xs = mark.columns[this.x.name];
      mark.element.classList.toggle("off", !xs);
      if (!xs) continue;
      const places = xs.map((x, i) => [this.toX(x), this.toY(mark.ys[i])]);
      if (mark.point) mark.element.setAttribute("transform", `translate(${places[0][0].toFixed(2)} ${places[0][1].toFixed(2)})`);
      else mark.element.setAttribute("d", "M" + places.map(([x, y]) => `${x.toFixed(2)} ${y.toFixed(2)}`).join("L") + (mark.closed ? "Z" : ""));
      if (mark.row !== null && !mark.element.closest(".off")) for (const [x, y] of places)
        if (x >= PAD.left - 1 && x <= this.right + 1 && y >= PAD.top - 1 && y <= this.foot + 1) this.hot.push({ x, y, row: mark.row, point: mark.point });
    }
    this.drawAxes();
  }
  drawAxes() {
    const parts = [], add = (tag, settings, words = "") => {
      const element = document.createElementNS(SVG, tag);
      for (const [name, setting] of Object.entries(settings)) element.setAttribute(name, setting);
      element.textContent = words; parts.push(element);
    };
    let last = -Infinity;
    for (const tick of ticks(this.x)) {
      const at = this.toX(tick), words = write(this.x, tick), wide = 3.6 * words.length + 4;
      add("path", { class: "grid", d: `M${at} ${PAD.top}V${this.foot}` });
      if (at - wide < last) continue;
      add("text", { x: at, y: this.foot + 17, "text-anchor": "middle" }, words); last = at + wide;
    }
    for (const tick of ticks(this.y)) {
      const at = this.toY(tick);
      add("path", { class: "grid", d: `M${PAD.left} ${at}H${this.right}` });
      add("text", { x: PAD.left - 7, y: at + 4, "text-anchor": "end" }, write(this.y, tick));
    }
    add("path", { class: "frame", d: `M${PAD.left} ${PAD.top}V${this.foot}H${this.right}` });
    add("text", { class: "label", x: (PAD.left + this.right) / 2, y: this.height - 8, "text-anchor": "middle" }, shown(this.x.label));
    add("text", { class: "label", transform: `translate(13 ${(PAD.top + this.foot) / 2}) rotate(-90)`, "text-anchor": "middle" }, shown(this.y.label));
    this.axes.replaceChildren(...parts);
  }
  choose(name) { // another column of the runs along x
    if (name === this.whole.x.name) this.x = { ...this.whole.x };
    else {
      const values = this.marks.filter(mark => mark.row !== null).flatMap(mark => mark.columns[name] || []), [low, high] = span(values, true);
      this.x = { label: LABELS[name] || name, low, high, log: true, kind: KINDS[name] || "power", name };
    }
    this.draw();
  }
  turn(which, log) { if (!log || this[which].low > 0) { this[which].log = log; this.draw(); } }
  reset() {
    this.y = { ...this.whole.y, log: this.y.log };
    if (this.x.name === this.whole.x.name) { this.x = { ...this.whole.x, log: this.x.log }; this.draw(); } else this.choose(this.x.name);
  }
  place(event) {
    const box = this.svg.getBoundingClientRect();
    return [(event.clientX - box.left) * this.width / box.width, (event.clientY - box.top) * this.height / box.height];
  }
  near(event) {
    const [x, y] = this.place(event);
    let best = null, least = 22 ** 2;
    for (const spot of this.hot) {
      const far = (spot.x - x) ** 2 + (spot.y - y) ** 2 + (spot.point ? 0 : 20);
      if (far < least && this.table.passes[spot.row]) { least = far; best = spot; }
    }
    return best;
  }
  point(event) {
    const spot = this.near(event);
    point(spot && spot.row, spot && { x: event.clientX, y: event.clientY });
  }
  drag(event) { // a box drawn with a mouse is looked into
    this.dragged = false;
    if (event.pointerType !== "mouse" || event.button) return;
    const [x0, y0] = this.place(event), box = document.createElementNS(SVG, "rect");
    box.setAttribute("class", "chosen");
    const move = event => {
      const [x, y] = this.place(event);
      if (!this.dragged && Math.hypot(x - x0, y - y0) < 8) return;
      this.dragged = true; this.svg.append(box);
      for (const [name, number] of [["x", Math.min(x, x0)], ["y", Math.min(y, y0)], ["width", Math.abs(x - x0)], ["height", Math.abs(y - y0)]]) box.setAttribute(name, number);
    };
    const end = event => {
      removeEventListener("pointermove", move); removeEventListener("pointerup", end); box.remove();
      const [x, y] = this.place(event);
      if (!this.dragged || Math.abs(x - x0) < 8 || Math.abs(y - y0) < 8) return;
      const xs = [this.fromX(Math.min(x, x0)), this.fromX(Math.max(x, x0))], ys = [this.fromY(Math.max(y, y0)), this.fromY(Math.min(y, y0))];
      [this.x.low, this.x.high, this.y.low, this.y.high] = [...xs, ...ys];
      this.draw();
    };
    addEventListener("pointermove", move); addEventListener("pointerup", end);
  }
  key(event) { // arrows go from run to run, Enter marks, Escape shows the whole again
    const order = [...new Map(this.hot.filter(spot => this.table.passes[spot.row]).map(spot => [spot.row, spot])).values()].sort((a, b) => a.x - b.x);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") { this.reset(); point(null); }
    else if (event.key === "Enter" || event.key === " ") { if (pointed !== null) toggle(pointed); }
    else if (step && order.length) {
      const at = order.findIndex(spot => spot.row === pointed), spot = order[(at + step + order.length) % order.length] || order[0];
      const box = this.svg.getBoundingClientRect();
      point(spot.row, { x: box.left + spot.x, y: box.top + spot.y });
    } else return;
    event.preventDefault();
  }
}

// ---- the table ----
class Table {
  constructor(section) {
    const data = JSON.parse(find("script", section).textContent);
    this.name = section.id; this.count = data.count; this.columns = data.columns; this.section = section;
    this.varying = data.columns.filter(column => column.values);
    this.byName = new Map(data.columns.map(column => [column.name, column]));
    this.order = [...Array(data.count).keys()]; this.passes = Array(data.count).fill(true); this.sorted = null;
    this.scroll = find(".scroll", section); this.tools = find(".tools", section);
    this.filter = make("input", "", { type: "search", placeholder: "filter: words, seed=0, loss<2", size: 26, oninput: () => { this.look(); keep(); } });
    this.filter.setAttribute("aria-label", "Filter runs: words, or a column with =, !=, <, >, <=, >= and a value");
    this.said = make("span", "", { className: "soft" }); this.said.setAttribute("role", "status");
    this.clear = button("clear marks", () => { marked.clear(); update(); });
    this.tools.append(this.filter, button("CSV", () => this.csv(), "Download the runs shown as CSV"), this.clear, this.said);
    this.build();
    this.scroll.addEventListener("scroll", () => requestAnimationFrame(() => this.draw()), { passive: true });
    this.look();
  }
  cell(name, row) { const column = this.byName.get(name); return column && (column.values ? column.values[row] : column.value); }
  build() { // a head that sorts, and columns as wide as what they hold
    const group = document.createElement("colgroup"), head = document.createElement("tr"), step = Math.max(1, Math.floor(this.count / 300));
    group.append(document.createElement("col")); group.firstChild.style.width = "2.2rem"; head.append(make("th"));
    this.heads = this.varying.map(column => {
      let wide = column.name.length + 2;
      for (let i = 0; i < this.count; i += step) wide = Math.max(wide, written(column.values[i]).length);
      const col = document.createElement("col"), th = make("th"), sort = button(shown(column.name), () => { this.sort(column); keep(); });
      col.style.width = `calc(${Math.min(32, wide)}ch + 1.5rem)`; th.scope = "col"; th.append(sort); group.append(col); head.append(th);
      column.words = column.values.some(x => typeof x === "string");
      if (column.words) th.className = "text";
      return [column, th];
    });
    const table = document.createElement("table"), top = document.createElement("thead");
    top.append(head); this.body = document.createElement("tbody"); table.append(group, top, this.body); this.scroll.append(table);
    table.setAttribute("aria-rowcount", this.count + 1);
  }
  sort(column, down) {
    if (down === undefined) down = this.sorted && this.sorted.column === column ? (this.sorted.down ? null : true) : false;
    this.sorted = down === null ? null : { column, down };
    this.look();
  }
  look() { // which runs pass the filter, in which order
    const tests = terms(this.filter.value, this);
    const texts = tests.some(test => test.word !== undefined) ? row => this.columns.map(c => written(c.values ? c.values[row] : c.value)).join("\n").toLowerCase() : null;
    for (let row = 0; row < this.count; row++) {
      const text = texts && texts(row);
      this.passes[row] = tests.every(test => test.word === undefined ? test.holds(this.cell(test.name, row)) : text.includes(test.word));
    }
    this.order = [...Array(this.count).keys()].filter(row => this.passes[row]);
    if (this.sorted) {
      const { column, down } = this.sorted, empty = x => x === null || x === "", sign = down ? -1 : 1;
      this.order.sort((a, b) => {
        const x = column.values[a], y = column.values[b];
        if (empty(x) || empty(y)) return empty(x) - empty(y);
        return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true }));
      });
    }
    for (const [column, th] of this.heads) {
      const mine = this.sorted && this.sorted.column === column;
      th.ariaSort = mine ? (this.sorted.down ? "descending" : "ascending") : "none";
      th.firstChild.textContent = shown(column.name) + (mine ? (this.sorted.down ? " ▼" : " ▲") : "");
    }
    update();
  }
  draw(all = false) { // the rows in view and a few more
    const view = this.scroll.clientHeight || 500, top = Math.min(this.scroll.scrollTop, Math.max(0, this.order.length * HIGH - view));
    const from = all ? 0 : Math.max(0, Math.floor(top / HIGH) - 10);
    const to = all ? Math.min(this.order.length, 2000) : Math.min(this.order.length, from + Math.ceil(view / HIGH) + 20), rows = [];
    const gap = (count, name) => { const row = make("tr", "", { className: "gap" }), td = make("td"); td.style.height = `${count * HIGH}px`; row.append(td); row.dataset.gap = name; if (count) rows.push(row); };
    gap(from, "above");
    for (let i = from; i < to; i++) rows.push(this.line(this.order[i], i));
    gap(this.order.length - to, "below");
    const focused = document.activeElement && document.activeElement.dataset.mark;
    this.body.replaceChildren(...rows);
    if (focused !== undefined) find(`[data-mark="${focused}"]`, this.body)?.focus({ preventScroll: true });
  }
  line(row, at) {
    const tr = document.createElement("tr"), box = make("input", "", { type: "checkbox", checked: this === main && marked.has(row) }), first = make("td");
    box.setAttribute("aria-label", `mark run ${this.id(row)}`); box.dataset.mark = row; first.append(box); tr.append(first);
    tr.setAttribute("aria-rowindex", at + 2); tr.dataset.row = row;
    tr.classList.toggle("marked", box.checked); tr.classList.toggle("flagged", Boolean(this.cell("flag", row)));
    for (const column of this.varying) {
      const words = written(column.values[row]), td = make("td", words);
      if (column.words) td.className = "text";
      if (words.length > 30) td.title = words;
      tr.append(td);
    }
    tr.onclick = () => { if (this === main) toggle(row); };
    return tr;
  }
  id(row) { const name = RUN_IDS.find(each => this.byName.has(each)); return written(name ? this.cell(name, row) : this.cell("row", row)); }
  words(row) {
    const names = [...new Set(SAID)].filter(name => this.byName.has(name));
    const said = { count: human, power }, say = (name, x) => x > 0 && KINDS[name] ? said[KINDS[name]](x) : written(x);
    return names.map(name => [name, say(name, this.cell(name, row))]).filter(([, words]) => words).map(each => each.join("  ")).join("\n");
  }
  csv() {
    const quote = x => { // a cell that a spreadsheet would run as a formula says by a ' that it is none
      let text = x === null || x === undefined ? "" : String(x);
      if (typeof x === "string" && /^[=+\-@\t\r]/.test(text)) text = "'" + text;
      return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const columns = this.columns.filter(column => column.name !== "row"), lines = [columns.map(column => quote(column.name)).join(",")];
    for (const row of this.order) lines.push(columns.map(column => quote(column.values ? column.values[row] : column.value)).join(","));
    save("runs.csv", "text/csv", lines.join("\n") + "\n");
  }
}
function terms(text, table) {
  return (text.match(/"[^"]*"|\S+/g) || []).map(term => {
    const [, name, sign, wanted] = term.match(/^"?([^=!<>"]+)(!=|<=|>=|=|<|>)([^"]*)"?$/) || [];
    if (!name || !table.byName.has(name)) return { word: term.replaceAll('"', "").toLowerCase() };
    const number = Number(wanted), same = x => typeof x === "number" && wanted !== "" ? x === number : written(x).toLowerCase() === wanted.toLowerCase();
    const holds = { "=": same, "!=": x => !same(x), "<": x => x !== null && x < number, ">": x => x > number, "<=": x => x !== null && x <= number, ">=": x => x >= number }[sign];
    return { name, holds };
  });
}

// ---- runs pointed at and marked, in all figures and the table ----
let main = null, pointed = null, panels = [], elements = new Map();
const marked = new Set(), tip = find("#tip");
function point(row, at) {
  if (row !== pointed) {
    for (const element of elements.get(pointed) || []) element.classList.remove("here");
    for (const element of elements.get(row) || []) element.classList.add("here");
    pointed = row;
    tip.textContent = row === null ? "" : main.words(row);
  }
  tip.hidden = row === null;
  if (row === null) return;
  const left = at.x + 16 + tip.offsetWidth > innerWidth ? at.x - 16 - tip.offsetWidth : at.x + 16;
  tip.style.left = `${Math.max(4, left)}px`; tip.style.top = `${Math.max(4, Math.min(at.y + 12, innerHeight - tip.offsetHeight - 4))}px`;
}
function toggle(row) { marked.has(row) ? marked.delete(row) : marked.add(row); update(); keep(); }
function update() {
  for (const [row, all] of elements) {
    const looks = { marked: marked.has(row), faded: !main.passes[row], behind: marked.size > 0 && !marked.has(row) };
    for (const element of all) for (const [name, on] of Object.entries(looks)) element.classList.toggle(name, on);
  }
  for (const table of tables) {
    table.said.textContent = `${table.order.length} of ${table.count} runs` + (table === main && marked.size ? `, ${marked.size} marked` : "");
    table.clear.hidden = table !== main || !marked.size; table.draw();
  }
}
// The address holds what was asked, so that it can be sent and comes back after a reload.
function keep() {
  const asked = new URLSearchParams();
  if (main.filter.value) asked.set("filter", main.filter.value);
  if (main.sorted) asked.set("sort", (main.sorted.down ? "-" : "") + main.sorted.column.name);
  if (marked.size) asked.set("marked", [...marked].map(row => main.id(row)).join(" "));
  try { history.replaceState(null, "", "#" + asked); } catch { /* some readers of pages allow no address */ }
}
function recall() {
  const asked = new URLSearchParams(location.hash.slice(1)), sort = asked.get("sort") || "", ids = new Set((asked.get("marked") || "").split(" ").filter(Boolean));
  for (let row = 0; ids.size && row < main.count; row++) if (ids.has(main.id(row))) marked.add(row);
  main.filter.value = asked.get("filter") || "";
  const column = main.varying.find(each => each.name === sort.replace(/^-/, ""));
  column ? main.sort(column, sort.startsWith("-")) : main.look();
}

// ---- what stands over a figure ----
function tools(figure, own) {
  const bar = make("div", "", { className: "tools" }), choices = own.flatMap(panel => panel.choices.length > 1 ? [panel] : []);
  if (choices.length) {
    const select = make("select", "", { onchange: () => choices.forEach(panel => panel.choose(select.value)) });
    select.setAttribute("aria-label", "horizontal axis");
    for (const name of choices[0].choices) select.append(make("option", name === "flops" ? "FLOPs" : name, { value: name, selected: name === choices[0].x.name }));
    bar.append(select);
  }
  for (const which of ["x", "y"]) if (own.some(panel => panel[which].log)) {
    const turn = button(`log ${which}`, () => {
      const log = turn.ariaPressed !== "true";
      turn.ariaPressed = log; own.filter(panel => panel.whole[which].log).forEach(panel => panel.turn(which, log));
    });
    turn.ariaPressed = true; bar.append(turn);
  }
  bar.append(button("whole", () => own.forEach(panel => panel.reset()), "Show the whole figure again"), button("SVG", () => save(`${figure.id}.svg`, "image/svg+xml", drawing(own)[0]), "Download as SVG"), button("PNG", () => png(figure.id, own), "Download as PNG"));
  figure.prepend(bar);
  for (const key of every(".key", figure)) key.onclick = () => {
    const on = key.ariaPressed !== "true";
    key.ariaPressed = on;
    every(".marks > g", figure).filter(group => group.dataset.group === key.dataset.group).forEach(group => group.classList.toggle("off", !on));
    own.forEach(panel => panel.draw());
  };
}
const LOOKS = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "display", "font-family", "font-size", "font-weight", "text-anchor", "r"];
function drawing(own) { // [panels in a row as a document of their own, its width, its height]
  const sheet = document.createElementNS(SVG, "svg"), wide = own.reduce((sum, panel) => sum + panel.width, 0), tall = Math.max(...own.map(panel => panel.height));
  for (const [name, setting] of Object.entries({ xmlns: SVG, width: wide, height: tall, viewBox: `0 0 ${wide} ${tall}` })) sheet.setAttribute(name, setting);
  const paper = document.createElementNS(SVG, "rect");
  for (const [name, setting] of [["width", wide], ["height", tall], ["fill", getComputedStyle(document.body).backgroundColor]]) paper.setAttribute(name, setting);
  sheet.append(paper);
  let left = 0;
  for (const panel of own) {
    const copy = panel.svg.cloneNode(true), from = every("*", panel.svg);
    every("*", copy).forEach((element, i) => {
      const look = getComputedStyle(from[i]);
      for (const name of LOOKS) { const setting = look.getPropertyValue(name); if (setting && setting !== "none" || name === "fill" || name === "display") element.setAttribute(name, setting); }
      for (const name of Object.keys(element.dataset)) delete element.dataset[name];
    });
    for (const name of ["class", "data-panel", "tabindex"]) copy.removeAttribute(name);
    for (const [name, setting] of [["x", left], ["width", panel.width], ["height", panel.height]]) copy.setAttribute(name, setting);
    sheet.append(copy); left += panel.width;
  }
  return [new XMLSerializer().serializeToString(sheet), wide, tall];
}
function png(name, own) {
  const [text, wide, tall] = drawing(own), image = new Image(), canvas = document.createElement("canvas");
  canvas.width = 3 * wide; canvas.height = 3 * tall;
  image.onload = () => { canvas.getContext("2d").drawImage(image, 0, 0, 3 * wide, 3 * tall); canvas.toBlob(blob => save(`${name}.png`, "image/png", blob)); };
  image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(text);
}

const tables = [];
for (const section of every("section.runs")) { const table = new Table(section); tables.push(table); main = main || table; }
if (main) {
  for (const figure of every("figure.chart")) {
    const own = every("svg.panel", figure).map(svg => new Panel(svg, main));
    panels.push(...own); tools(figure, own);
  }
  for (const mark of panels.flatMap(panel => panel.marks)) if (mark.row !== null) elements.set(mark.row, [...(elements.get(mark.row) || []), mark.element]);
  recall();
  let waiting = 0;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => panels.forEach(panel => panel.refit()), 80); });
  addEventListener("beforeprint", () => tables.forEach(table => table.draw(true)));
  addEventListener("afterprint", () => tables.forEach(table => table.draw()));
}
document.documentElement.dataset.ready = Math.round(performance.now());
