// Colours of labels: the ones with the most time have their own; states have shapes too.

// Told apart with any kind of colour vision, on light and on dark (after Okabe and Ito,
// and Tol); vermilion is left to what has failed.
const PALETTES = {
  light: [
    "#4a8fd6",
    "#2aa58a",
    "#d9a520",
    "#9d7fc7",
    "#6db6d8",
    "#a8a13c",
    "#c27a9f",
    "#5b8cb0",
    "#8a9765",
    "#b08e6a",
  ],
  dark: [
    "#5b9fe6",
    "#2fb598",
    "#e0b33c",
    "#a685d6",
    "#7cc7ea",
    "#b9b24c",
    "#cc7fa8",
    "#6f9dc0",
    "#93a26b",
    "#c09d78",
  ],
};
const OTHERS = { light: "#9aa3af", dark: "#7f8895" };

class Colors {
  constructor(trace, totals) {
    const labels = Array.from(trace.labels.keys());
    labels.sort((a, b) => totals[b] - totals[a] || a - b);
    this.ranked = labels;
    this.rank = new Int32Array(trace.labels.length);
    labels.forEach((label, rank) => {
      this.rank[label] = rank;
    });
    this.refresh();
  }

  refresh() {
    this.theme = document.documentElement.dataset.theme === "dark" ? "dark" : "light";
    // A canvas knows no variables: an element says what they mean now.
    const probe = document.body.appendChild(el("span", { hidden: "" }));
    for (const name of ["panel", "sunk", "line", "strong", "text", "quiet", "accent", "bad"]) {
      probe.style.color = `var(--${name})`;
      this[name] = getComputedStyle(probe).color;
    }
    probe.remove();
  }

  of(label) {
    const rank = label >= 0 ? this.rank[label] : Infinity;
    return PALETTES[this.theme][rank] ?? OTHERS[this.theme];
  }
}

const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
const SMALL = "11px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";

// A canvas as large as it is shown, in the pixels of the screen; draws in CSS pixels.
function prepared(canvas, width, height) {
  const ratio = Math.min(window.devicePixelRatio || 1, 3);
  const [w, h] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
  }
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  ctx.font = FONT;
  ctx.textBaseline = "middle";
  ctx.direction = "ltr";
  return ctx;
}

// What fits of a text into a width.
function fitted(ctx, text, width) {
  const begin = text.slice(0, 200);
  if (ctx.measureText(begin).width <= width) return begin;
  let low = 0,
    high = begin.length;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (ctx.measureText(`${begin.slice(0, middle)}…`).width <= width) low = middle;
    else high = middle - 1;
  }
  return low > 1 ? `${begin.slice(0, low)}…` : "";
}
