// Elements, numbers and names.  All text of a run goes through textContent.

const $ = (id) => document.getElementById(id);

function el(tag, options = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (name === "text") made.textContent = value;
    else if (name === "on")
      for (const [what, call] of Object.entries(value)) made.addEventListener(what, call);
    else if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const LOCALE = "en-US";
const counted = new Intl.NumberFormat(LOCALE);
const count = (value) => counted.format(value);

function digits(value) {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : 2);
}

// A time in nanoseconds with three significant digits.
function time(ns) {
  const size = Math.abs(ns);
  if (size < 999.5) return `${Math.round(ns)} ns`;
  if (size < 999.5e3) return `${digits(ns / 1e3)} µs`;
  if (size < 999.5e6) return `${digits(ns / 1e6)} ms`;
  if (size < 120e9) return `${digits(ns / 1e9)} s`;
  const seconds = Math.round(ns / 1e9),
    minutes = Math.round(ns / 60e9);
  if (size < 7200e9) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (size < 172800e9) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${digits(ns / 86400e9)} d`;
}

const short = (text, longest) => (text.length > longest ? `${text.slice(0, longest - 1)}…` : text);
const nextFrame = () => new Promise((go) => requestAnimationFrame(go));
const pause = () => new Promise((go) => setTimeout(go, 0));

function labelOf(trace, i) {
  const label = trace.label[i];
  return label >= 0 ? trace.labels[label] : KIND[trace.kind[i]];
}

function errorText(trace, i) {
  const number = trace.errorOf.get(i);
  if (number === undefined) return "";
  const [, type, message] = trace.failures[number];
  return `${trace.texts[type]}: ${trace.texts[message]}`;
}

// The first place in a sorted array whose value is not below `value` (or, if `past`, is
// above it).
function firstFrom(sorted, value, low = 0, high = sorted.length, past = false) {
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle] < value || (past && sorted[middle] === value)) low = middle + 1;
    else high = middle;
  }
  return low;
}
