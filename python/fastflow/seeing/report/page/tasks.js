// The tables of tasks: by name and each call, with search and filters.

class Tasks {
  constructor(trace, colors, { choose, open, chooseLabel }) {
    Object.assign(this, { trace, colors, choose, open, chooseLabel });
    this.names = trace.labels.map((name) => name.toLowerCase());
    this.order = alphabetical(trace.labels);
    this.view = "label";
    this.fillSelects();
    const host = $("table");
    this.spans = new Grid(host, {
      title: "Calls",
      least: 1040,
      columns: spanColumns(this),
      onChoose: choose,
      onOpen: open,
    });
    this.labels = new Grid(host, {
      title: "Tasks by name",
      least: 900,
      columns: labelColumns(this),
      onChoose: chooseLabel,
      onOpen: (label) => this.drill(label),
    });
    $("by-label").addEventListener("click", () => this.use("label"));
    $("by-span").addEventListener("click", () => this.use("span"));
    let timer = 0;
    $("search").addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.apply(), 120);
    });
    for (const id of ["search", "state", "attempt", "kind"])
      $(id).addEventListener("change", () => this.apply());
    this.labels.sortBy(
      this.labels.columns.find((one) => one.title === "Total"),
      true,
    );
    this.use(trace.labels.length > 1 || trace.n === 0 ? "label" : "span");
  }

  fillSelects() {
    const { trace } = this;
    const attempts = new Set(),
      kinds = new Uint8Array(KIND.length),
      states = new Uint8Array(STATE.length);
    for (let i = 0; i < trace.n; i++) {
      if (trace.attempt[i] < 100) attempts.add(trace.attempt[i]);
      kinds[trace.kind[i]] = 1;
      states[trace.state[i]] = 1;
    }
    const option = (value, text) => el("option", { value, text });
    $("state").append(
      option("", "any"),
      ...STATE.flatMap((name, n) => (states[n] ? [option(n, name)] : [])),
    );
    $("attempt").append(
      option("", "any"),
      ...[...attempts].sort((a, b) => a - b).map((n) => option(n, n === 0 ? "none" : String(n))),
      ...(Math.max(0, ...attempts) > 1 ? [option("more", "2 or later")] : []),
    );
    $("kind").append(
      option("", "any"),
      ...KIND.flatMap((name, n) => (kinds[n] ? [option(n, name)] : [])),
    );
    $("kind").value = kinds[CALL] ? String(CALL) : "";
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
    const labels = Uint32Array.from(this.trace.labels.keys()).filter(
      (label) => this.stats.n[label] > 0,
    );
    this.labels.show(labels);
    $("count").value = `${count(labels.length)} names, ${count(rows.length)} spans`;
  }

  // The spans that fit the search and the filters.
  matching() {
    const { trace } = this;
    const fits = this.searched();
    const [state, kind] = ["state", "kind"].map((id) =>
      $(id).value === "" ? -1 : Number($(id).value),
    );
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
    const labels = Uint8Array.from(this.names, (name, n) =>
      whole === null ? name.includes(words) : trace.labels[n] === whole,
    );
    if (whole !== null) return (i) => trace.label[i] >= 0 && labels[trace.label[i]] === 1;
    const item = /^#?\d+$/.test(words) ? Number(words.replace("#", "")) : -2;
    const texts = Uint8Array.from(trace.texts, (one) => one.toLowerCase().includes(words));
    const runs = Uint8Array.from(
      trace.runs,
      (run) => run[0].toLowerCase().includes(words) || run[2].toLowerCase() === words,
    );
    const failed = new Set();
    for (const [i, type, message] of trace.failures)
      if (texts[type] || texts[message]) failed.add(i);
    return (i) =>
      (trace.label[i] >= 0 && labels[trace.label[i]] === 1) ||
      trace.item[i] === item ||
      failed.has(i) ||
      (trace.run[i] >= 0 && runs[trace.run[i]] === 1);
  }
}

// The place of each name in alphabetical order.
function alphabetical(names) {
  const compare = new Intl.Collator(LOCALE, { numeric: true }).compare;
  const sorted = Array.from(names.keys());
  if (names.length > 50000)
    sorted.sort((a, b) => (names[a] < names[b] ? -1 : names[a] > names[b] ? 1 : 0));
  else sorted.sort((a, b) => compare(names[a], names[b]));
  const places = new Uint32Array(names.length);
  sorted.forEach((label, place) => {
    places[label] = place;
  });
  return places;
}
