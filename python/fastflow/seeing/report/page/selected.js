// All that is known of the chosen span, below the timeline.

function showSelected(trace, i, actions) {
  const host = $("selected");
  if (i < 0) {
    host.replaceChildren();
    return;
  }
  const maybe = (value) => (value < 0 ? "not known" : time(value));
  const [type, , traceback] = trace.failures[trace.errorOf.get(i)]?.slice(1) ?? [];
  const facts = [
    ["Item", trace.item[i] < 0 ? "none" : count(trace.item[i])],
    ["Attempt", String(trace.attempt[i])],
    ["State", STATE[trace.state[i]]],
    ["Kind", KIND[trace.kind[i]]],
    ["Begin", time(trace.start[i])],
    ["Took", time(trace.end[i] - trace.start[i])],
    [
      "Waited to begin",
      trace.ready[i] < 0 ? "not known" : time(Math.max(0, trace.start[i] - trace.ready[i])),
    ],
    ["Processor time", maybe(trace.cpu[i])],
    ["Lane", trace.lanes[trace.lane[i]]?.[0] ?? ""],
    ["Run", trace.runs[trace.run[i]]?.[0] ?? "none"],
  ];
  const fact = ([name, value], wide = false) =>
    el(
      "div",
      { class: wide ? "wide" : null },
      el("dt", { text: name }),
      el("dd", {}, el("bdi", { text: value })),
    );
  const list = el(
    "dl",
    {},
    fact(["Task", labelOf(trace, i)], true),
    ...facts.map((one) => fact(one)),
  );
  if (type !== undefined) list.append(fact(["Error", errorText(trace, i)], true));
  if (traceback !== undefined && trace.texts[traceback]) {
    list.append(
      el(
        "div",
        { class: "wide" },
        el("dt", { text: "Traceback" }),
        el(
          "dd",
          {},
          el("pre", { text: trace.texts[traceback], tabindex: 0, "aria-label": "Traceback" }),
        ),
      ),
    );
  }
  host.replaceChildren(
    list,
    el(
      "div",
      { class: "tools" },
      ...actions.map(([text, call]) => el("button", { type: "button", text, on: { click: call } })),
    ),
  );
}
