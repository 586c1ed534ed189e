// Counters below the timeline, on its axis of time.

const BLOCK = 64;
const KNOWN = new Map([
  ["cpu", ["CPU", "cores"]],
  ["lock", ["Lock held", "of the time"]],
  ["starved", ["Starved", "wait for a core"]],
  ["ready", ["Ready", "calls"]],
  ["running", ["Running", "calls"]],
]);

const MOST_EVENTS = 200000;

// How many calls ran, from the spans: exactly if there are not too many, else on average
// over each of some thousand stretches.
function runningOf(trace) {
  const calls = Uint32Array.from({ length: trace.n }, (_, i) => i).filter(
    (i) => trace.kind[i] === CALL,
  );
  return 2 * calls.length > MOST_EVENTS ? runningInBins(trace, calls) : runningSteps(trace, calls);
}

function runningSteps(trace, calls) {
  const begins = Float64Array.from(calls, (i) => trace.start[i]).sort();
  const ends = Float64Array.from(calls, (i) => trace.end[i]).sort();
  const result = {
    time: new Float64Array(2 * calls.length + 1),
    value: new Float32Array(2 * calls.length + 1),
  };
  for (let a = 0, b = 0; b < ends.length;) {
    // An end comes before a beginning at the same time: one follows the other.
    if (a < begins.length && begins[a] < ends[b]) result.time[a + b + 1] = begins[a++];
    else if (a <= b)
      result.time[a + b + 1] = begins[a++]; // it took no time
    else result.time[a + b + 1] = ends[b++];
    result.value[a + b] = a - b;
  }
  return result;
}

function runningInBins(trace, calls) {
  const bins = 4096;
  const edges = new Float64Array(bins + 2);
  const length = Math.max(trace.length, 1);
  const at = (value) => Math.min(bins, Math.max(0, (value / length) * bins));
  for (const i of calls) {
    // Each end of a span adds to two bins, by how much of the first one it covers.
    for (const [place, sign] of [
      [at(trace.start[i]), 1],
      [at(trace.end[i]), -1],
    ]) {
      const bin = Math.floor(place),
        rest = place - bin;
      edges[bin] += sign * (1 - rest);
      edges[bin + 1] += sign * rest;
    }
  }
  const result = { time: new Float64Array(bins), value: new Float32Array(bins) };
  for (let bin = 0, sum = 0; bin < bins; bin++) {
    sum += edges[bin];
    result.time[bin] = (bin * length) / bins;
    result.value[bin] = Math.abs(sum) < 1e-6 ? 0 : sum;
  }
  return result;
}

class Counter extends Drawn {
  constructor(name, { time: times, value }, timeline, host) {
    super();
    Object.assign(this, { name, times, value, timeline });
    const blocks = Math.ceil(value.length / BLOCK);
    this.peaks = new Float32Array(blocks);
    for (let i = 0; i < value.length; i++) {
      const block = (i / BLOCK) | 0;
      this.peaks[block] = Math.max(this.peaks[block], value[i]);
    }
    this.most = this.peaks.reduce((a, b) => Math.max(a, b), 0);
    const mean = value.length ? value.reduce((a, b) => a + b, 0) / value.length : 0;
    this.canvas = host.appendChild(
      el("canvas", {
        role: "img",
        "aria-label": `${this.title}: at most ${this.text(this.most)}, ${this.text(mean)} on average`,
      }),
    );
    timeline.axis.listeners.push(() => this.redraw());
    new ResizeObserver(() => this.redraw()).observe(this.canvas);
  }

  get title() {
    return KNOWN.get(this.name)?.[0] ?? this.name;
  }

  text(value) {
    if (this.name === "lock") return `${Math.round(value * 100)} %`;
    return `${value >= 100 ? count(Math.round(value)) : Number(value.toPrecision(2))} ${KNOWN.get(this.name)?.[1] ?? ""}`.trim();
  }

  // The highest value of samples from one number up to another.
  peak(from, to) {
    let most = 0;
    for (let i = from; i < to;) {
      if (i % BLOCK === 0 && i + BLOCK <= to) {
        most = Math.max(most, this.peaks[i / BLOCK]);
        i += BLOCK;
      } else {
        most = Math.max(most, this.value[i++]);
      }
    }
    return most;
  }

  draw() {
    const { timeline, canvas, times, most } = this;
    const { axis, colors, gutter } = timeline;
    const height = 46,
      base = height - 4;
    const ctx = prepared(canvas, canvas.clientWidth, height);
    const width = Math.min(timeline.width, canvas.clientWidth - gutter);
    ctx.textAlign = "left";
    ctx.fillStyle = colors.text;
    ctx.fillText(fitted(ctx, this.title, gutter - 14), 8, 15);
    ctx.fillStyle = colors.quiet;
    ctx.font = SMALL;
    ctx.fillText(fitted(ctx, `≤ ${this.text(most)}`, gutter - 14), 8, 31);
    ctx.fillStyle = ctx.strokeStyle = colors.accent;
    const high = (base - 6) / (most || 1);
    ctx.beginPath();
    let k = Math.max(firstFrom(times, axis.shown[0], 0, times.length, true) - 1, 0);
    for (let x = 0; x < width; x++) {
      const until = axis.toTime(axis.from + ((x + 1) / width) * (axis.to - axis.from));
      const next = firstFrom(times, until, k, times.length);
      // A value holds until the next one; the one from before counts for this pixel, too.
      const value = times.length && times[k] <= until ? this.peak(k, Math.max(next, k + 1)) : 0;
      ctx.lineTo(gutter + x, base - value * high);
      k = Math.max(next - 1, k);
    }
    ctx.stroke();
    ctx.lineTo(gutter + width, base);
    ctx.lineTo(gutter, base);
    ctx.globalAlpha = 0.16;
    ctx.fill();
    ctx.globalAlpha = 1;
    ctx.fillStyle = colors.line;
    ctx.fillRect(gutter, base, width, 1);
    ctx.fillRect(gutter - 1, 0, 1, height);
  }
}

function countersOf(trace, timeline) {
  const all = new Map(trace.counters);
  // Samples miss short calls; spans don't, if none was dropped.
  if (trace.n && (!trace.dropped || !all.has("running"))) all.set("running", runningOf(trace));
  const host = $("counters");
  return [...all].map(([name, samples]) => new Counter(name, samples, timeline, host));
}
