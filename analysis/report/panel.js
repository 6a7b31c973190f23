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

