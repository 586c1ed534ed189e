// Errors, those of attempts too: alike ones together, with their tracebacks.

const SHOWN = 50;

function showErrors(trace, choose) {
  const total = trace.failures.length + trace.failures_left_out;
  const broken = trace.runs.filter((run) => run[5]);
  $("errors").hidden = total + broken.length === 0;
  if ($("errors").hidden) return;
  $("errors-title").textContent = total ? `Errors (${count(total)})` : "Errors";
  const host = $("error-list");
  for (const [name, kind, , , , error] of broken) {
    host.append(
      el(
        "p",
        {},
        el("bdi", { text: `${kind} ${short(name, 300)}: ` }),
        el("bdi", { text: short(error, 4000) }),
      ),
    );
  }
  const groups = groupsOf(trace);
  let shown = 0;
  const more = el("button", { type: "button", text: "Show more", on: { click: () => add() } });
  function add() {
    more.remove();
    for (const group of groups.slice(shown, shown + SHOWN))
      host.append(entry(trace, group, choose));
    shown += SHOWN;
    if (shown < groups.length) host.append(more);
  }
  add();
  if (trace.failures_left_out) {
    host.append(
      el("p", {
        class: "quiet",
        text: `${count(trace.failures_left_out)} further errors are not in this file.`,
      }),
    );
  }
}

// Failures of the same label, state, type and traceback; messages may differ.
function groupsOf(trace) {
  const groups = new Map();
  for (const [i, type, message, traceback] of trace.failures) {
    const label = i >= 0 ? trace.label[i] : -1,
      state = i >= 0 ? trace.state[i] : FAILED;
    const key = `${label} ${state} ${type} ${traceback}`;
    if (!groups.has(key)) groups.set(key, { label, state, type, traceback, rows: [] });
    groups.get(key).rows.push([i, message]);
  }
  return [...groups.values()].sort(
    (a, b) => (b.state === FAILED) - (a.state === FAILED) || b.rows.length - a.rows.length,
  );
}

function entry(trace, { label, state, type, traceback, rows }, choose) {
  const name = label >= 0 ? trace.labels[label] : "";
  const summary = el(
    "summary",
    {},
    el("b", { text: `${state === RETRIED ? "↻" : "✕"} ${short(trace.texts[type], 200)}` }),
    `: ${short(trace.texts[rows[0][1]], 300)}`,
    el(
      "span",
      { class: "quiet" },
      el("bdi", { text: short(name, 200) }),
      ` ${state === RETRIED ? "· made again " : ""}${rows.length > 1 ? `· ${count(rows.length)} times` : ""}`,
    ),
  );
  const box = el("div");
  const details = el("details", { class: "error" }, summary, box);
  const fill = () => {
    if (box.childElementCount) return;
    if (trace.texts[traceback])
      box.append(
        el("pre", { text: trace.texts[traceback], tabindex: 0, "aria-label": "Traceback" }),
      );
    for (const [i, message] of rows.slice(0, 20)) {
      const item = i >= 0 && trace.item[i] >= 0 ? `item ${count(trace.item[i])}, ` : "";
      const line = el("p", { class: "quiet" });
      if (i >= 0) {
        line.append(
          el("button", {
            type: "button",
            text: "Show in the timeline",
            on: { click: () => choose(i) },
          }),
          ` ${item}attempt ${trace.attempt[i]}, at ${time(trace.start[i])}: `,
        );
      }
      line.append(el("bdi", { text: trace.texts[message] }));
      box.append(line);
    }
    if (rows.length > 20)
      box.append(
        el("p", {
          class: "quiet",
          text: `and ${count(rows.length - 20)} more: the table of calls and the downloads have all`,
        }),
      );
  };
  details.addEventListener("toggle", fill);
  details.addEventListener("fill", fill);
  return details;
}
