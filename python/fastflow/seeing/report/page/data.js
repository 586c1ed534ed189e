// From the bytes in the page to typed arrays.  How they are packed is told in
// data.py and columns.py.

const KIND = ["call", "lock", "idle", "blocked", "pause", "send", "steal"];
const STATE = ["done", "failed", "retried", "cancelled", "cached", "running"];
const CALL = 0,
  LOCK = 1,
  IDLE = 2,
  BLOCKED = 3,
  PAUSE = 4,
  SEND = 5,
  STEAL = 6;
const DONE = 0,
  FAILED = 1,
  RETRIED = 2,
  CANCELLED = 3,
  CACHED = 4,
  RUNNING = 5;

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

async function inflated(bytes) {
  if (typeof DecompressionStream === "undefined") {
    throw new Error("this browser has no DecompressionStream; a newer one has");
  }
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Signs were folded in: 0, 1, 2, 3 are 0, -1, 1, -2.
function unfolded(value) {
  return value % 2 ? -(value + 1) / 2 : value / 2;
}

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 4 + new DataView(bytes.buffer).getUint32(0, true);
    this.header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, this.at)));
    this.next = 0;
  }

  // The next column as [its form, its integers].
  column() {
    const { form, rows, width } = this.header.columns[this.next++];
    const values = new Float64Array(rows);
    for (let plane = 0, scale = 1; plane < width; plane++, scale *= 256) {
      const bytes = this.bytes.subarray(this.at, this.at + rows);
      for (let i = 0; i < rows; i++) values[i] += bytes[i] * scale;
      this.at += rows;
    }
    return [form, values];
  }

  reals() {
    const { rows } = this.header.columns[this.next++];
    const bytes = new Uint8Array(4 * rows);
    for (let plane = 0; plane < 4; plane++) {
      for (let i = 0; i < rows; i++) bytes[4 * i + plane] = this.bytes[this.at + i];
      this.at += rows;
    }
    return new Float32Array(bytes.buffer);
  }
}

function signed([form, values]) {
  let last = 0;
  for (let i = 0; i < values.length; i++) {
    const value = unfolded(values[i]);
    last = form === "changes" ? last + value : value;
    values[i] = last;
  }
  return values;
}

function laneColumn(counts, rows) {
  const lane = new Int32Array(rows);
  let at = 0;
  counts.forEach((count, number) => {
    lane.fill(number, at, (at += count));
  });
  return lane;
}

function readyColumn([form, values], start, coarse) {
  let last = 0;
  for (let i = 0; i < values.length; i++) {
    const known = values[i] > 0;
    const value = known ? unfolded(values[i] - 1) : 0;
    if (form === "before") {
      values[i] = known ? start[i] - value * coarse : -1;
    } else if (known) {
      last += value;
      values[i] = last * coarse;
    } else {
      // The difference was taken from a row without a value, which counts as 0.
      last = 0;
      values[i] = -1;
    }
  }
  return values;
}

// The trace: columns of all spans, sorted by lane and start, times in nanoseconds.
function readTrace(bytes) {
  const reader = new Reader(bytes);
  const { header } = reader;
  const { spans: n, unit, coarse } = header;
  const lane = laneColumn(header.counts, n);
  const [, start] = reader.column();
  const [, end] = reader.column();
  for (let i = 0, last = 0; i < n; i++) {
    if (i > 0 && lane[i] !== lane[i - 1]) last = 0;
    const from = last + unfolded(start[i]);
    last = from + unfolded(end[i]);
    start[i] = from * unit;
    end[i] = last * unit;
  }
  const ready = readyColumn(reader.column(), start, coarse);
  const [, cpu] = reader.column();
  for (let i = 0; i < n; i++) {
    cpu[i] = cpu[i] > 0 ? end[i] - start[i] - unfolded(cpu[i] - 1) * coarse : -1;
  }
  const item = signed(reader.column());
  const label = Int32Array.from(signed(reader.column()));
  const run = Int32Array.from(signed(reader.column()));
  const attempt = Int32Array.from(reader.column()[1]);
  const kind = Uint8Array.from(reader.column()[1]);
  const state = Uint8Array.from(reader.column()[1]);
  const counters = new Map(); // any name can be a key
  for (const name of Object.keys(header.counters)) {
    const time = signed(reader.column()).map((at) => at * unit);
    counters.set(name, { time, value: reader.reals() });
  }
  const errorOf = new Map(header.failures.map((row, number) => [row[0], number]));
  return {
    ...header,
    n,
    start,
    end,
    ready,
    cpu,
    item,
    lane,
    label,
    run,
    attempt,
    kind,
    state,
    counters,
    errorOf,
  };
}
