// The tables of tasks: by name and each call, with search and filters.

class Tasks {
  constructor(trace, colors, { choose, open, chooseLabel }) {
    Object.assign(this, { trace, colors, choose, open, chooseLabel });
    this.names = trace.labels.map((name) => name.toLowerCase());
    this.order = alphabetical(trace.labels);
    this.view = "label";
    this.fillSelects();
    const host = $("table");
    this.spans = new Grid(host, { title: "Calls", least: 1040, columns: this.spanColumns(),
      onChoose: choose, onOpen: open });
    this.labels = new Grid(host, { title: "Tasks by name", least: 900, columns: this.labelColumns(),
      onChoose: chooseLabel, onOpen: (label) => this.drill(label) });
    $("by-label").addEventListener("click", () => this.use("label"));
    $("by-span").addEventListener("click", () => this.use("span"));
    let timer = 0;
    $("search").addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.apply(), 120);
    });
    for (const id of ["search", "state", "attempt", "kind"]) $(id).addEventListener("change", () => this.apply());
    this.labels.sortBy(this.labels.columns.find((one) => one.title === "Total"), true);
    this.use(trace.labels.length > 1 || trace.n === 0 ? "label" : "span");
  }

  fillSelects() {
    const { trace } = this;
    const attempts = new Set(), kinds = new Uint8Array(KIND.length), states = new Uint8Array(STATE.length);
    for (let i = 0; i < trace.n; i++) {
      if (trace.attempt[i] < 100) attempts.add(trace.attempt[i]);
      kinds[trace.kind[i]] = 1;
      states[trace.state[i]] = 1;
    }
    const option = (value, text) => el("option", { value, text });
    $("state").append(option("", "any"), ...STATE.flatMap((name, n) => states[n] ? [option(n, name)] : []));
    $("attempt").append(option("", "any"),
      ...[...attempts].sort((a, b) => a - b).map((n) => option(n, n === 0 ? "none" : String(n))),
      ...(Math.max(0, ...attempts) > 1 ? [option("more", "2 or later")] : []));
    $("kind").append(option("", "any"), ...KIND.flatMap((name, n) => kinds[n] ? [option(n, name)] : []));
    $("kind").value = kinds[CALL] ? String(CALL) : "";
  }

  labelColumns() {
    const { trace } = this;
    const of = (name) => (label) => this.stats[name][label];
    const span = (name) => ({ key: of(name), text: (label) => time(this.stats[name][label]), number: true, width: "minmax(84px, 1fr)" });
    const number = (name) => ({ key: of(name), text: (label) => count(this.stats[name][label]), number: true, width: "minmax(76px, .8fr)" });
    const mean = (label) => this.stats.waited[label] ? this.stats.wait[label] / this.stats.waited[label] : -1;
    // Where spans were dropped, the calls were still counted.
    const all = { title: "Made", key: (label) => trace.totals[label]?.[0] ?? 0, number: true, width: "minmax(76px, .8fr)",
      text: (label) => count(trace.totals[label]?.[0] ?? 0) };
    const calls = { title: "Calls", ...number("n") };
    const made = trace.dropped && trace.totals.length ? [all] : [];
    return [
      { title: "Name", width: "minmax(180px, 3fr)", key: (label) => this.order[label], text: (label) => short(trace.labels[label], 300), swatch: (label) => this.colors.of(label) },
      calls,
      ...made,
      { title: "Total", ...span("total") },
      { title: "Share", key: of("total"), number: true, width: "minmax(74px, .7fr)", text: (label) => `${(100 * this.stats.total[label] / (this.sum || 1)).toFixed(1)} %` },
      { title: "Median", ...span("median") },
      { title: "95 %", ...span("slow") },
      { title: "Longest", ...span("most") },
      { title: "CPU", ...span("cpu"), text: (label) => this.stats.cpu[label] < 0 ? "" : time(this.stats.cpu[label]) },
      { title: "Waited", key: mean, number: true, width: "minmax(84px, 1fr)", text: (label) => mean(label) < 0 ? "" : time(mean(label)) },
      { title: "Failed", ...number("failed"), bad: (label) => this.stats.failed[label] > 0 },
      { title: "Retried", ...number("retried") },
    ];
  }

  spanColumns() {
    const { trace } = this;
    const took = (i) => Math.max(trace.end[i] - trace.start[i], 0);
    const waited = (i) => trace.ready[i] < 0 ? -1 : Math.max(trace.start[i] - trace.ready[i], 0);
    const maybe = (of) => (i) => of(i) < 0 ? "" : time(of(i));
    const name = (i) => trace.label[i] < 0 ? -1 : this.order[trace.label[i]];
    return [
      { title: "Name", width: "minmax(170px, 3fr)", key: name, text: (i) => short(labelOf(trace, i), 300), swatch: (i) => this.colors.of(trace.label[i]) },
      { title: "Item", number: true, width: "minmax(76px, 1fr)", key: (i) => trace.item[i], text: (i) => trace.item[i] < 0 ? "" : count(trace.item[i]) },
      { title: "Attempt", number: true, width: "76px", key: (i) => trace.attempt[i], text: (i) => String(trace.attempt[i]) },
      { title: "State", width: "96px", key: (i) => trace.state[i], text: (i) => STATE[trace.state[i]], bad: (i) => trace.state[i] === FAILED },
      { title: "Begin", number: true, width: "minmax(86px, 1fr)", key: (i) => Math.max(trace.start[i], 0), text: (i) => time(trace.start[i]) },
      { title: "Took", number: true, width: "minmax(86px, 1fr)", key: took, text: (i) => time(took(i)) },
      { title: "Waited", number: true, width: "minmax(86px, 1fr)", key: waited, text: maybe(waited) },
      { title: "CPU", number: true, width: "minmax(86px, 1fr)", key: (i) => Math.max(trace.cpu[i], -1), text: maybe((i) => trace.cpu[i]) },
      { title: "Lane", width: "minmax(96px, 1.2fr)", key: (i) => trace.lane[i], text: (i) => short(trace.lanes[trace.lane[i]]?.[0] ?? "", 100) },
      { title: "Run", width: "minmax(70px, 1fr)", key: (i) => trace.run[i], text: (i) => short(trace.runs[trace.run[i]]?.[0] ?? "", 100) },
      { title: "Error", width: "minmax(90px, 2fr)", key: (i) => trace.errorOf.get(i) ?? -1, text: (i) => short(errorText(trace, i), 200), bad: (i) => trace.state[i] === FAILED },
    ];
  }

  use(view) {
    this.view = view;
    $("by-label").setAttribute("aria-pressed", String(view === "label"));
    $("by-span").setAttribute("aria-pressed", String(view === "span"));
    this.labels.root.hidden = view !== "label";
    this.spans.root.hidden = view !== "span";
    this.apply();
  }

  // Show the calls of a label alone.
  drill(label) {
    $("search").value = `"${this.trace.labels[label]}"`;
    this.use("span");
    this.spans.body.focus();
  }

  apply() {
    const rows = this.matching();
    if (this.view === "span") {
      this.spans.show(rows);
      $("count").value = `${count(rows.length)} of ${count(this.trace.n)}`;
      return;
    }
    this.stats = statsOf(this.trace, rows);
    this.sum = this.stats.total.reduce((a, b) => a + b, 0);
    const labels = Uint32Array.from(this.trace.labels.keys()).filter((label) => this.stats.n[label] > 0);
    this.labels.show(labels);
    $("count").value = `${count(labels.length)} names, ${count(rows.length)} spans`;
  }

  // The spans that fit the search and the filters.
  matching() {
    const { trace } = this;
    const fits = this.searched();
    const [state, kind] = ["state", "kind"].map((id) => $(id).value === "" ? -1 : Number($(id).value));
    const attempt = $("attempt").value;
    const only = attempt === "" || attempt === "more" ? -1 : Number(attempt);
    const found = new Uint32Array(trace.n);
    let n = 0;
    for (let i = 0; i < trace.n; i++) {
      if (state >= 0 && trace.state[i] !== state) continue;
      if (kind >= 0 && trace.kind[i] !== kind) continue;
      if (only >= 0 && trace.attempt[i] !== only) continue;
      if (attempt === "more" && trace.attempt[i] < 2) continue;
      if (fits && !fits(i)) continue;
      found[n++] = i;
    }
    return found.slice(0, n);
  }

  // A name in quotes is the whole name; a number is an item, too.
  searched() {
    const { trace } = this;
    const text = $("search").value;
    const words = text.trim().toLowerCase();
    if (!words) return null;
    const whole = /^".*"$/s.test(text) ? text.slice(1, -1) : null;
    const labels = Uint8Array.from(this.names, (name, n) => whole === null ? name.includes(words) : trace.labels[n] === whole);
    if (whole !== null) return (i) => trace.label[i] >= 0 && labels[trace.label[i]] === 1;
    const item = /^#?\d+$/.test(words) ? Number(words.replace("#", "")) : -2;
    const texts = Uint8Array.from(trace.texts, (one) => one.toLowerCase().includes(words));
    const runs = Uint8Array.from(trace.runs, (run) => run[0].toLowerCase().includes(words) || run[2].toLowerCase() === words);
    const failed = new Set();
    for (const [i, type, message] of trace.failures) if (texts[type] || texts[message]) failed.add(i);
    return (i) => (trace.label[i] >= 0 && labels[trace.label[i]] === 1) || trace.item[i] === item || failed.has(i)
      || (trace.run[i] >= 0 && runs[trace.run[i]] === 1);
  }
}

// The place of each name in alphabetical order.
function alphabetical(names) {
  const compare = new Intl.Collator(LOCALE, { numeric: true }).compare;
  const sorted = Array.from(names.keys());
  if (names.length > 50000) sorted.sort((a, b) => (names[a] < names[b] ? -1 : names[a] > names[b] ? 1 : 0));
  else sorted.sort((a, b) => compare(names[a], names[b]));
  const places = new Uint32Array(names.length);
  sorted.forEach((label, place) => { places[label] = place; });
  return places;
}
