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
  const [m, e] = x.toExponential(2).split("e").map(Number);
  const ten = "10" + String(e).replace(/[-\d]/g, c => c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]);
  return m === 1 ? ten : `${m}×${ten}`;
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

