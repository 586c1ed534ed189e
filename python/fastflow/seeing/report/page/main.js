// Puts the page together, a piece in each frame.

function legend(trace, colors) {
  const swatch = (color) => {
    const made = el("span", { class: "swatch" });
    made.style.background = color;
    return made;
  };
  const named = colors.ranked.slice(0, PALETTES.light.length);
  const items = named.map((label) =>
    el("li", {}, swatch(colors.of(label)), el("bdi", { text: short(trace.labels[label], 80) })),
  );
  if (trace.labels.length > named.length)
    items.push(
      el("li", {}, swatch(colors.of(-1)), `${count(trace.labels.length - named.length)} others`),
    );
  const signs = [
    [FAILED, "✕"],
    [RETRIED, "↻"],
    [CACHED, "▯"],
    [CANCELLED, "▯"],
    [RUNNING, "▸"],
  ];
  const there = new Set(trace.state);
  for (const [state, sign] of signs)
    if (there.has(state)) items.push(el("li", { text: `${sign} ${STATE[state]}` }));
  if (trace.kind.includes(STEAL)) items.push(el("li", { text: "❘ steal" }));
  $("legend").replaceChildren(...items);
}

function totalsOf(trace) {
  const totals = new Float64Array(trace.labels.length);
  for (let i = 0; i < trace.n; i++)
    if (trace.label[i] >= 0) totals[trace.label[i]] += trace.end[i] - trace.start[i];
  return totals;
}

function pressed(id, call) {
  const button = $(id);
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    call(on);
  });
}

async function start() {
  const began = performance.now();
  const data = $("data");
  const trace = readTrace(await inflated(bytesOf(data.textContent.trim())));
  data.remove();
  await nextFrame();
  const colors = new Colors(trace, totalsOf(trace));
  const axis = new Axis(trace);
  const timeline = new Timeline(trace, axis, colors, await tracksOf(trace));
  const counters = countersOf(trace, timeline);
  const chart = [timeline, ...counters];
  await nextFrame();

  const histogram = new Histogram(trace, colors);
  const reveal = (i) => {
    choose(i, true);
    $("timeline").scrollIntoView({ block: "start" });
    timeline.host.focus({ preventScroll: true });
  };
  const tasks = new Tasks(trace, colors, {
    choose: (i) => choose(i),
    open: reveal,
    chooseLabel: (label) => histogram.show(label),
  });
  const interaction = new Interaction(timeline, (i, follow) => choose(i, follow));

  // Choose a span everywhere; with `follow`, the timeline goes to it.
  function choose(i, follow = false) {
    timeline.selected = i;
    showSelected(trace, i, [
      ["Fit", () => interaction.fit()],
      [
        "Calls of this name",
        () => {
          if (trace.label[i] >= 0) tasks.drill(trace.label[i]);
        },
      ],
    ]);
    if (i >= 0 && follow) bringIntoSight(timeline, i);
    timeline.redraw();
  }

  pressed("levels", (on) => {
    for (const track of timeline.tracks) track.expanded = on && track.rows.length > 1;
    timeline.lay();
  });
  $("levels").hidden = timeline.tracks.every((track) => track.rows.length < 2);
  $("gaps").setAttribute("aria-pressed", String(axis.folded));
  pressed("gaps", (on) => {
    axis.fold(on);
    for (const one of chart) one.redraw();
  });
  $("gaps").hidden = axis.gaps.length === 0;
  for (const button of document.querySelectorAll("[data-download]")) {
    button.addEventListener("click", () => download(trace, button.dataset.download));
  }
  if (trace.unit > 1)
    $("unit").textContent =
      `Times are rounded to ${time(trace.unit)}, waits and processor times to ${time(trace.coarse)}.`;
  await nextFrame();
  showErrors(trace, reveal);
  showGraph(trace.dag);
  watchTheme((now) => {
    colors.refresh();
    themeGraph(colors.theme);
    legend(trace, colors);
    histogram.draw();
    for (const one of [...chart, tasks.labels, tasks.spans]) {
      if (now) one.draw();
      else one.redraw();
    }
  });
  document.documentElement.dataset.ready = Math.round(performance.now() - began);
}

function bringIntoSight(timeline, i) {
  const { trace, axis, host } = timeline;
  const [from, to] = [axis.toLine(trace.start[i]), axis.toLine(trace.end[i])];
  const wide = axis.to - axis.from;
  if (to < axis.from || from > axis.to) axis.show((from + to - wide) / 2, (from + to + wide) / 2);
  const [row] = timeline.find(i);
  if (!row) return;
  const { top, height } = row.track;
  if (top < host.scrollTop) host.scrollTop = top;
  else if (top + height > host.scrollTop + host.clientHeight)
    host.scrollTop = top + height - host.clientHeight;
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") $("downloads").open = false;
});
document.addEventListener("click", (event) => {
  if (!$("downloads").contains(event.target)) $("downloads").open = false;
});
start().catch((error) => {
  const trouble = $("trouble");
  trouble.hidden = false;
  trouble.textContent = `The data of this report can't be shown: ${error.message}`;
  console.error(error);
});
