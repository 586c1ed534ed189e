// Where spans are drawn: rows of spans that follow each other.
//
// A lane has one row if nothing in it overlaps. What is within another span, or overlaps
// it, is a level further down; waits have rows of their own. A row has its starts and
// ends in order and running sums of busy time and of failures, so that what is in any
// pixel is found by bisection, however many spans there are.

const MOST_LEVELS = 24;

class Row {
  constructor(track, spans, trace) {
    const n = spans.length;
    this.track = track;
    this.spans = spans;
    this.n = n;
    this.start = new Float64Array(n);
    this.end = new Float64Array(n);
    this.busy = new Float64Array(n + 1);
    this.bad = new Uint32Array(n + 1);
    for (let k = 0, last = 0; k < n; k++) {
      const i = spans[k];
      const from = trace.start[i],
        to = trace.end[i];
      this.start[k] = from;
      // In the last level spans may overlap: each hides what the one before had behind it.
      if (k > 0 && this.end[k - 1] > from) this.end[k - 1] = from;
      this.end[k] = to;
      this.busy[k + 1] = this.busy[k] + Math.max(0, to - Math.max(from, last));
      last = Math.max(last, to);
      const state = trace.state[i];
      this.bad[k + 1] = this.bad[k] + (state === FAILED || state === RETRIED ? 1 : 0);
    }
  }

  // The number of the first span that ends after a time.
  from(at) {
    return firstFrom(this.end, at, 0, this.n, true);
  }
}

class Track {
  constructor(lane, name, waits, levels, trace) {
    this.lane = lane;
    this.name = name;
    this.waits = waits;
    this.rows = levels.map((spans) => new Row(this, spans, trace));
    this.expanded = waits && levels.length > 1 && levels.length <= 8;
  }

  get height() {
    const n = this.rows.length;
    if (n <= 1) return 22;
    return this.expanded ? 18 * n + 4 : 26;
  }

  // Where a row is, from the top of the track, and how high.
  place(number) {
    const n = this.rows.length;
    if (n <= 1) return [2, 18];
    if (this.expanded) return [2 + 18 * number, 16];
    return [2 + (22 * number) / n, Math.max(1, 22 / n - (n > 6 ? 0 : 1))];
  }
}

function levelsOf(trace, members) {
  const reach = [];
  const levels = [];
  for (const i of members) {
    let level = 0;
    while (level < reach.length && reach[level] > trace.start[i]) level++;
    level = Math.min(level, MOST_LEVELS - 1);
    if (level === levels.length) levels.push([]);
    levels[level].push(i);
    reach[level] = Math.max(reach[level] ?? 0, trace.end[i]);
  }
  return levels.map((spans) => Uint32Array.from(spans));
}

// All tracks, from top to bottom; `marks` of each are its steals.
async function tracksOf(trace) {
  const tracks = [];
  for (let lane = 0, at = 0; lane < trace.lanes.length; lane++) {
    const stop = at + trace.counts[lane];
    const work = [],
      waits = [],
      marks = [];
    for (; at < stop; at++) {
      const kind = trace.kind[at];
      if (kind !== IDLE) (kind === STEAL ? marks : kind === PAUSE ? waits : work).push(at);
    }
    const [name, kind] = trace.lanes[lane];
    const add = (members, title, waiting) => {
      const track = new Track(lane, title, waiting, levelsOf(trace, members), trace);
      track.marks = waiting ? [] : marks;
      tracks.push(track);
    };
    const apart = kind === "waits";
    if (work.length || !waits.length) add(work, name, apart);
    if (waits.length) add(waits, apart && !work.length ? name : `${name}: waits`, true);
    if (trace.counts[lane] > 50000) await pause();
  }
  return tracks;
}
