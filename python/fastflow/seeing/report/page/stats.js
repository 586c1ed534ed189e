// Figures of each label: how many calls, how long they took, what became of them.

// `rows`: numbers of spans.  Returns columns, a place for each label.
function statsOf(trace, rows) {
  const m = trace.labels.length;
  const found = {
    n: new Uint32Array(m),
    total: new Float64Array(m),
    most: new Float64Array(m),
    median: new Float64Array(m),
    slow: new Float64Array(m),
    failed: new Uint32Array(m),
    retried: new Uint32Array(m),
    wait: new Float64Array(m),
    waited: new Uint32Array(m),
    cpu: new Float64Array(m),
    measured: new Uint32Array(m),
  };
  for (const i of rows) {
    const label = trace.label[i];
    if (label < 0) continue;
    const took = trace.end[i] - trace.start[i];
    found.n[label]++;
    found.total[label] += took;
    if (took > found.most[label]) found.most[label] = took;
    if (trace.state[i] === FAILED) found.failed[label]++;
    else if (trace.state[i] === RETRIED) found.retried[label]++;
    if (trace.ready[i] >= 0) {
      found.wait[label] += Math.max(0, trace.start[i] - trace.ready[i]);
      found.waited[label]++;
    }
    if (trace.cpu[i] >= 0) {
      found.cpu[label] += trace.cpu[i];
      found.measured[label]++;
    }
  }
  // The time of some of the calls would look like that of all.
  for (let label = 0; label < m; label++) {
    if (found.measured[label] < found.n[label]) found.cpu[label] = -1;
  }
  quantiles(trace, rows, found);
  return found;
}

// Durations by label, one after the other, each part sorted.
function quantiles(trace, rows, found) {
  const first = new Uint32Array(found.n.length + 1);
  for (let label = 0; label < found.n.length; label++)
    first[label + 1] = first[label] + found.n[label];
  const all = new Float64Array(first.at(-1));
  const next = first.slice();
  for (const i of rows) {
    if (trace.label[i] >= 0) all[next[trace.label[i]]++] = trace.end[i] - trace.start[i];
  }
  for (let label = 0; label < found.n.length; label++) {
    const n = found.n[label];
    if (!n) continue;
    const part = all.subarray(first[label], first[label + 1]).sort();
    found.median[label] = n % 2 ? part[n >> 1] : (part[n / 2 - 1] + part[n / 2]) / 2;
    found.slow[label] = part[Math.min(n - 1, Math.floor(n * 0.95))];
  }
}
