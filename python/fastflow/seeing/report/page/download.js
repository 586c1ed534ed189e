// Every number as a file, made from the data of the page.

// Spreadsheets take text that begins so for a formula.
const FORMULA = /^[=+\-@\t\r]/;

function csvCell(value) {
  if (typeof value === "number") return String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const line = (cells) => `${cells.map(csvCell).join(",")}\r\n`;

const SPAN_COLUMNS = [
  "name",
  "item",
  "attempt",
  "state",
  "kind",
  "lane",
  "run",
  "start_ns",
  "end_ns",
  "ready_ns",
  "cpu_ns",
  "error",
];

function spanCells(trace, i) {
  const number = (value) => (value < 0 ? "" : value);
  return [
    labelOf(trace, i),
    number(trace.item[i]),
    trace.attempt[i],
    STATE[trace.state[i]],
    KIND[trace.kind[i]],
    trace.lanes[trace.lane[i]]?.[0] ?? "",
    trace.runs[trace.run[i]]?.[0] ?? "",
    trace.start[i],
    trace.end[i],
    number(trace.ready[i]),
    number(trace.cpu[i]),
    errorText(trace, i),
  ];
}

// The parts of each file, a few thousand rows each.
const FILES = {
  *"spans.csv"(trace) {
    yield line(SPAN_COLUMNS);
    for (let i = 0; i < trace.n;) {
      let text = "";
      for (const stop = Math.min(trace.n, i + 5000); i < stop; i++)
        text += line(spanCells(trace, i));
      yield text;
    }
  },
  *"tasks.csv"(trace) {
    const calls = Uint32Array.from({ length: trace.n }, (_, i) => i).filter(
      (i) => trace.kind[i] === CALL,
    );
    const found = statsOf(trace, calls);
    yield line([
      "name",
      "calls",
      "total_ns",
      "median_ns",
      "p95_ns",
      "longest_ns",
      "failed",
      "retried",
    ]);
    for (let label = 0; label < trace.labels.length; label++) {
      yield line([
        trace.labels[label],
        found.n[label],
        found.total[label],
        found.median[label],
        found.slow[label],
        found.most[label],
        found.failed[label],
        found.retried[label],
      ]);
    }
  },
  *"counters.csv"(trace) {
    yield line(["counter", "time_ns", "value"]);
    for (const [name, { time: times, value }] of trace.counters) {
      for (let i = 0; i < times.length; i++) yield line([name, times[i], value[i]]);
    }
  },
  *"errors.csv"(trace) {
    yield line(["name", "item", "attempt", "state", "type", "message", "traceback"]);
    for (const [i, ...texts] of trace.failures) {
      const cells =
        i < 0
          ? ["", "", "", ""]
          : [labelOf(trace, i), trace.item[i], trace.attempt[i], STATE[trace.state[i]]];
      yield line([...cells, ...texts.map((text) => trace.texts[text])]);
    }
  },
  *"run.json"(trace) {
    const { began, length, dropped, machine, summary, explanation, unit, labels, texts, failures } =
      trace;
    const lanes = trace.lanes.map(([name, kind, pid]) => ({ name, kind, pid }));
    const runs = trace.runs.map(([name, kind, id, start, end, error, parent]) => ({
      name,
      kind,
      id,
      start,
      end,
      error,
      parent,
    }));
    const errors = failures.map(([span, type, message, traceback]) => ({
      span,
      type: texts[type],
      message: texts[message],
      traceback: texts[traceback],
    }));
    const head = JSON.stringify({
      began,
      length,
      dropped,
      unit,
      machine,
      summary,
      explanation,
      lanes,
      runs,
      labels,
      errors,
      kinds: KIND,
      states: STATE,
    });
    yield head.slice(0, -1);
    yield ', "counters": {';
    let first = true;
    for (const [name, { time: times, value }] of trace.counters) {
      yield `${first ? "" : ","}${JSON.stringify(name)}: {"time": ${JSON.stringify(Array.from(times))}, "value": ${JSON.stringify(Array.from(value))}}`;
      first = false;
    }
    yield '}, "spans": {';
    for (const [number, name] of [
      "start",
      "end",
      "ready",
      "cpu",
      "item",
      "lane",
      "label",
      "run",
      "attempt",
      "kind",
      "state",
    ].entries()) {
      yield `${number ? "," : ""}\n"${name}": [`;
      for (let i = 0; i < trace.n; i += 20000)
        yield (i ? "," : "") + trace[name].slice(i, i + 20000).join(",");
      yield "]";
    }
    yield "}}\n";
  },
};

// Make a file in pieces, so that the page stays alive, and hand it to the browser.
async function download(trace, name) {
  const parts = [];
  let until = performance.now() + 12;
  for (const part of FILES[name](trace)) {
    parts.push(part);
    if (performance.now() > until) {
      await pause();
      until = performance.now() + 12;
    }
  }
  const type = name.endsWith(".json") ? "application/json" : "text/csv;charset=utf-8";
  const address = URL.createObjectURL(new Blob(parts, { type }));
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}
