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
    const size = x => x === null || x === undefined || x === "" ? NaN : Number(String(x).replace(/^([-+]?)inf$/, "$1Infinity"));
    const holds = { "=": same, "!=": x => !same(x), "<": x => size(x) < number, ">": x => size(x) > number, "<=": x => size(x) <= number, ">=": x => size(x) >= number }[sign];
    return { name, holds };
  });
}

