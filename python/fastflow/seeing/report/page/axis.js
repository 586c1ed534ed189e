// The axis of time: what part of it is shown, and gaps that are folded.
//
// `line` is the axis as it is drawn, in nanoseconds: time itself, or, with folded gaps,
// time without most of each gap in which nobody worked.

const FOLD_BINS = 1 << 14;

// Stretches in which no lane works, as [begin, end]; none shorter than two bins.
function idleOf(trace, length) {
  const open = new Int32Array(FOLD_BINS + 1);
  const last = new Float64Array(FOLD_BINS),
    first = new Float64Array(FOLD_BINS).fill(length);
  const bin = (at) => Math.min(FOLD_BINS - 1, Math.max(0, Math.floor((at / length) * FOLD_BINS)));
  for (let i = 0; i < trace.n; i++) {
    if (trace.kind[i] === IDLE || trace.kind[i] === PAUSE) continue;
    const a = bin(trace.start[i]),
      b = bin(trace.end[i]);
    open[a]++;
    open[b + 1]--;
    if (trace.start[i] < first[a]) first[a] = trace.start[i];
    if (trace.end[i] > last[b]) last[b] = trace.end[i];
  }
  const found = [];
  for (let at = 0, under = 0, since = -1; at <= FOLD_BINS; at++) {
    under += open[at];
    const idle = at < FOLD_BINS && under === 0;
    if (idle && since < 0) since = at;
    if (!idle && since >= 0) {
      // The bins beside it say where it begins and ends.
      const begin = since > 0 ? last[since - 1] : 0,
        end = at < FOLD_BINS ? first[at] : length;
      if (at - since >= 2) found.push([begin, end]);
      since = -1;
    }
  }
  return found;
}

// Those of them that take much of what is left when the longer ones are folded.
function gapsOf(trace, length) {
  const idle = idleOf(trace, length).sort((x, y) => y[1] - y[0] - (x[1] - x[0]));
  const rest = idle.reduce((sum, [begin, end]) => sum - (end - begin), length);
  let shown = length;
  const gaps = idle.filter(([begin, end]) => {
    const much = end - begin > 0.03 * shown && end - begin > 0.03 * rest;
    if (much) shown -= end - begin;
    return much;
  });
  return gaps.sort((x, y) => x[0] - y[0]);
}

class Axis {
  constructor(trace) {
    this.length = Math.max(trace.length, 1);
    this.gaps = gapsOf(trace, this.length);
    this.folded = false;
    this.listeners = [];
    const idle = this.gaps.reduce((sum, [begin, end]) => sum + end - begin, 0);
    // Of a run that has waited nearly all the time, nothing else would be seen.
    this.fold(idle > 0.9 * this.length);
  }

  fold(folded) {
    const [from, to] = this.total ? this.shown : [0, this.length];
    this.folded = folded && this.gaps.length > 0;
    this.times = [0];
    this.line = [0];
    const gone = this.folded ? this.gaps.reduce((sum, [a, b]) => sum + b - a, 0) : 0;
    // What is left of each: a hundredth of the rest, so that it is seen.
    const left = Math.max((this.length - gone) / 100, this.length / 1e6);
    for (const [begin, end] of this.folded ? this.gaps : []) {
      const at = this.line.at(-1) + begin - this.times.at(-1);
      this.times.push(begin, end);
      this.line.push(at, at + Math.min(left, end - begin));
    }
    const rest = this.length - this.times.at(-1);
    this.total = this.line.at(-1) + rest;
    this.times.push(this.length);
    this.line.push(this.total);
    this.from = this.toLine(from);
    this.to = Math.max(this.toLine(to), this.from + 1);
  }

  mapped(value, xs, ys) {
    if (!this.folded) return value;
    const k = Math.min(Math.max(firstFrom(xs, value, 0, xs.length, true) - 1, 0), xs.length - 2);
    const width = xs[k + 1] - xs[k];
    return width > 0 ? ys[k] + ((value - xs[k]) / width) * (ys[k + 1] - ys[k]) : ys[k];
  }

  toLine(at) {
    return this.mapped(at, this.times, this.line);
  }
  toTime(at) {
    return this.mapped(at, this.line, this.times);
  }
  get shown() {
    return [this.toTime(this.from), this.toTime(this.to)];
  }
  get whole() {
    return this.from <= 0 && this.to >= this.total;
  }

  // Show another part; at least 20 ns, and nothing outside of the whole.
  show(from, to) {
    const width = Math.min(Math.max(to - from, Math.min(20, this.total)), this.total);
    let begin = (from + to) / 2 - width / 2;
    begin = Math.min(Math.max(begin, 0), this.total - width);
    if (begin === this.from && begin + width === this.to) return;
    this.from = begin;
    this.to = begin + width;
    for (const listener of this.listeners) listener();
  }

  // Zoom by a factor around a place of the axis, from 0 (left) to 1.
  zoom(factor, around = 0.5) {
    const width = this.to - this.from;
    const centre = this.from + width * around;
    const wider = Math.min(Math.max(width * factor, 20), this.total);
    this.show(centre - wider * around, centre + wider * (1 - around));
  }

  pan(share) {
    const by = (this.to - this.from) * share;
    const begin = Math.min(Math.max(this.from + by, 0), this.total - (this.to - this.from));
    this.show(begin, begin + this.to - this.from);
  }

  all() {
    this.show(0, this.total);
  }

  // The stretches of time that are shown as they are, between folded gaps.
  get stretches() {
    const found = [];
    for (let k = 0; k + 1 < this.times.length; k += 2)
      found.push([this.times[k], this.times[k + 1]]);
    return found;
  }

  // Places of ticks, as [pixel, text]; about one per `apart` pixels.
  ticks(width, apart = 110) {
    const [from, to] = this.shown;
    const step = niceStep(((this.to - this.from) * apart) / Math.max(width, 1));
    const found = [];
    let last = -Infinity;
    for (const [begin, end] of this.stretches) {
      for (
        let at = Math.ceil(Math.max(begin, from) / step) * step;
        at <= Math.min(end, to);
        at += step
      ) {
        const x = ((this.toLine(at) - this.from) / (this.to - this.from)) * width;
        if (x - last < apart * 0.6) continue;
        last = x;
        found.push([x, tickText(at, step)]);
      }
    }
    return found;
  }
}

function niceStep(rough) {
  const units =
    rough < 1e9
      ? 1
      : rough < 60e9
        ? 1e9
        : rough < 3600e9
          ? 60e9
          : rough < 86400e9
            ? 3600e9
            : 86400e9;
  const steps =
    units === 1 || units === 86400e9
      ? [1, 2, 5]
      : units === 3600e9
        ? [1, 2, 6, 12, 24]
        : [1, 2, 5, 10, 20, 30, 60];
  const scale =
    units === 1 || units === 86400e9 ? 10 ** Math.floor(Math.log10(Math.max(rough / units, 1))) : 1;
  for (const step of steps) if (step * scale * units >= rough) return step * scale * units;
  return 10 * scale * units;
}

function tickText(at, step) {
  const [unit, name] =
    step >= 86400e9
      ? [86400e9, "d"]
      : step >= 3600e9
        ? [3600e9, "h"]
        : step >= 60e9
          ? [60e9, "min"]
          : at < 1e3 && step < 1e3
            ? [1, "ns"]
            : at < 1e6 && step < 1e6
              ? [1e3, "µs"]
              : at < 1e9 && step < 1e9
                ? [1e6, "ms"]
                : [1e9, "s"];
  const places = Math.max(0, Math.ceil(-Math.log10(step / unit) - 1e-9));
  return `${(at / unit).toFixed(Math.min(places, 9))} ${name}`;
}
