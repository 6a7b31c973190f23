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
