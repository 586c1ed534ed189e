// What the tables of tasks show: see grid.js for what a column has.

// Of the table by name; rows are labels.
function labelColumns(tasks) {
  const { trace } = tasks;
  const of = (name) => (label) => tasks.stats[name][label];
  const span = (name) => ({
    key: of(name),
    text: (label) => time(tasks.stats[name][label]),
    number: true,
    width: "minmax(84px, 1fr)",
  });
  const number = (name) => ({
    key: of(name),
    text: (label) => count(tasks.stats[name][label]),
    number: true,
    width: "minmax(76px, .8fr)",
  });
  const mean = (label) =>
    tasks.stats.waited[label] ? tasks.stats.wait[label] / tasks.stats.waited[label] : -1;
  // Where spans were dropped, the calls were still counted.
  const all = {
    title: "Made",
    key: (label) => trace.totals[label]?.[0] ?? 0,
    number: true,
    width: "minmax(76px, .8fr)",
    text: (label) => count(trace.totals[label]?.[0] ?? 0),
  };
  const calls = { title: "Calls", ...number("n") };
  const made = trace.dropped && trace.totals.length ? [all] : [];
  return [
    {
      title: "Name",
      width: "minmax(180px, 3fr)",
      key: (label) => tasks.order[label],
      text: (label) => short(trace.labels[label], 300),
      swatch: (label) => tasks.colors.of(label),
    },
    calls,
    ...made,
    { title: "Total", ...span("total") },
    {
      title: "Share",
      key: of("total"),
      number: true,
      width: "minmax(74px, .7fr)",
      text: (label) => `${((100 * tasks.stats.total[label]) / (tasks.sum || 1)).toFixed(1)} %`,
    },
    { title: "Median", ...span("median") },
    { title: "95 %", ...span("slow") },
    { title: "Longest", ...span("most") },
    {
      title: "CPU",
      ...span("cpu"),
      text: (label) => (tasks.stats.cpu[label] < 0 ? "" : time(tasks.stats.cpu[label])),
    },
    {
      title: "Waited",
      key: mean,
      number: true,
      width: "minmax(84px, 1fr)",
      text: (label) => (mean(label) < 0 ? "" : time(mean(label))),
    },
    { title: "Failed", ...number("failed"), bad: (label) => tasks.stats.failed[label] > 0 },
    { title: "Retried", ...number("retried") },
  ];
}

// Of the table of calls; rows are spans.
function spanColumns(tasks) {
  const { trace } = tasks;
  const took = (i) => Math.max(trace.end[i] - trace.start[i], 0);
  const waited = (i) => (trace.ready[i] < 0 ? -1 : Math.max(trace.start[i] - trace.ready[i], 0));
  const maybe = (of) => (i) => (of(i) < 0 ? "" : time(of(i)));
  const name = (i) => (trace.label[i] < 0 ? -1 : tasks.order[trace.label[i]]);
  return [
    {
      title: "Name",
      width: "minmax(170px, 3fr)",
      key: name,
      text: (i) => short(labelOf(trace, i), 300),
      swatch: (i) => tasks.colors.of(trace.label[i]),
    },
    {
      title: "Item",
      number: true,
      width: "minmax(76px, 1fr)",
      key: (i) => trace.item[i],
      text: (i) => (trace.item[i] < 0 ? "" : count(trace.item[i])),
    },
    {
      title: "Attempt",
      number: true,
      width: "76px",
      key: (i) => trace.attempt[i],
      text: (i) => String(trace.attempt[i]),
    },
    {
      title: "State",
      width: "96px",
      key: (i) => trace.state[i],
      text: (i) => STATE[trace.state[i]],
      bad: (i) => trace.state[i] === FAILED,
    },
    {
      title: "Begin",
      number: true,
      width: "minmax(86px, 1fr)",
      key: (i) => Math.max(trace.start[i], 0),
      text: (i) => time(trace.start[i]),
    },
    {
      title: "Took",
      number: true,
      width: "minmax(86px, 1fr)",
      key: took,
      text: (i) => time(took(i)),
    },
    {
      title: "Waited",
      number: true,
      width: "minmax(86px, 1fr)",
      key: waited,
      text: maybe(waited),
    },
    {
      title: "CPU",
      number: true,
      width: "minmax(86px, 1fr)",
      key: (i) => Math.max(trace.cpu[i], -1),
      text: maybe((i) => trace.cpu[i]),
    },
    {
      title: "Lane",
      width: "minmax(96px, 1.2fr)",
      key: (i) => trace.lane[i],
      text: (i) => short(trace.lanes[trace.lane[i]]?.[0] ?? "", 100),
    },
    {
      title: "Run",
      width: "minmax(70px, 1fr)",
      key: (i) => trace.run[i],
      text: (i) => short(trace.runs[trace.run[i]]?.[0] ?? "", 100),
    },
    {
      title: "Error",
      width: "minmax(90px, 2fr)",
      key: (i) => trace.errorOf.get(i) ?? -1,
      text: (i) => short(errorText(trace, i), 200),
      bad: (i) => trace.state[i] === FAILED,
    },
  ];
}
