// How long calls took: a histogram on a logarithmic axis, of one label or of all.

const PER_DECADE = 8;
const MOST_CHOICES = 500;

class Histogram {
  constructor(trace, colors) {
    Object.assign(this, { trace, colors, label: -1 });
    this.canvas = $("histogram");
    const select = $("histogram-label");
    select.append(
      el("option", { value: -1, text: "all" }),
      ...colors.ranked
        .slice(0, MOST_CHOICES)
        .map((label) => el("option", { value: label, text: short(trace.labels[label], 60) })),
    );
    select.addEventListener("change", () => this.show(Number(select.value)));
    this.all = this.binsOf(-1);
    this.bins = this.all;
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    this.show(-1);
  }

  // Counts by duration: a bin for each eighth of a power of ten, from 1 ns on.
  binsOf(label) {
    const { trace } = this;
    const counts = new Uint32Array(17 * PER_DECADE);
    const took = [];
    for (let i = 0; i < trace.n; i++) {
      if (trace.kind[i] !== CALL || (label >= 0 && trace.label[i] !== label)) continue;
      const ns = Math.max(trace.end[i] - trace.start[i], 1);
      counts[Math.min(counts.length - 1, Math.floor(Math.log10(ns) * PER_DECADE))]++;
      took.push(ns);
    }
    const sorted = Float64Array.from(took).sort();
    return {
      counts,
      n: sorted.length,
      quantile: (q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0,
    };
  }

  show(label) {
    this.label = label;
    const select = $("histogram-label");
    if (![...select.options].some((one) => one.value === String(label))) {
      select.append(el("option", { value: label, text: short(this.trace.labels[label], 60) }));
    }
    select.value = String(label);
    this.bins = label < 0 ? this.all : this.binsOf(label);
    const { n, quantile } = this.bins;
    const text =
      n === 0
        ? "No calls."
        : `${count(n)} calls: median ${time(quantile(0.5))}, 95 % below ` +
          `${time(quantile(0.95))}, 99 % below ${time(quantile(0.99))}, longest ${time(quantile(1))}.`;
    $("histogram-text").textContent = text;
    this.canvas.setAttribute("aria-label", `Histogram of durations. ${text}`);
    this.draw();
  }

  draw() {
    const { canvas, colors, bins, all } = this;
    const width = canvas.clientWidth,
      height = canvas.clientHeight || 190;
    const ctx = prepared(canvas, width, height);
    const used = [...all.counts.keys()].filter((bin) => all.counts[bin]);
    if (!used.length) return;
    const first = Math.floor(Math.max(used[0] - 1, 0) / PER_DECADE) * PER_DECADE;
    const last = Math.max(
      Math.ceil((used.at(-1) + 2) / PER_DECADE) * PER_DECADE,
      first + 2 * PER_DECADE,
    );
    const base = height - 22,
      left = 44;
    const per = (width - left - 8) / (last - first);
    const most = bins.counts.reduce((a, b) => Math.max(a, b), 0);
    ctx.font = SMALL;
    ctx.fillStyle = colors.quiet;
    ctx.textAlign = "right";
    for (const share of [1, 0.5]) {
      const y = base - share * (base - 14);
      ctx.fillText(compact(Math.round(most * share)), left - 6, y);
      ctx.globalAlpha = 0.3;
      ctx.fillRect(left, Math.round(y), width - left - 8, 1);
      ctx.globalAlpha = 1;
    }
    ctx.textAlign = "center";
    for (let bin = first; bin <= last; bin += PER_DECADE) {
      const x = left + (bin - first) * per;
      ctx.fillRect(x, base, 1, 5);
      ctx.fillText(
        time(10 ** (bin / PER_DECADE)).replace(/\.0+ /, " "),
        Math.min(Math.max(x, 24), width - 24),
        base + 13,
      );
    }
    ctx.fillStyle = this.label < 0 ? colors.accent : colors.of(this.label);
    for (let bin = first; bin < last; bin++) {
      const high = (bins.counts[bin] / (most || 1)) * (base - 14);
      if (high > 0)
        ctx.fillRect(
          left + (bin - first) * per + 0.5,
          base - Math.max(high, 1),
          Math.max(per - 1, 1),
          Math.max(high, 1),
        );
    }
    ctx.fillStyle = colors.strong;
    ctx.fillRect(left, base, width - left - 8, 1);
    const middle = left + (Math.log10(Math.max(bins.quantile(0.5), 1)) * PER_DECADE - first) * per;
    ctx.fillStyle = colors.text;
    ctx.fillRect(middle, 10, 1, base - 10);
    ctx.textAlign = middle > width / 2 ? "right" : "left";
    if (bins.n) ctx.fillText("median", middle + (middle > width / 2 ? -5 : 5), 10);
  }
}

const compacted = new Intl.NumberFormat(LOCALE, { notation: "compact", maximumFractionDigits: 1 });
const compact = (value) => compacted.format(value);
