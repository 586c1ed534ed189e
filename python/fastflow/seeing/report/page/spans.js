// The spans of a row on the canvas of the timeline.
//
// Where spans are narrower than two pixels, a pixel shows how busy its time was, in the
// colour of a span in its middle; so a frame costs as much as the canvas is wide.

function drawRow(timeline, ctx, row, y, high) {
  const { axis, gutter, width, trace } = timeline;
  const scale = width / (axis.to - axis.from);
  const place = (at) => (axis.toLine(at) - axis.from) * scale;
  const [first, last] = axis.shown;
  const strip = timeline.strip.cleared(width),
    bad = [];
  for (let k = row.from(first); k < row.n && row.start[k] <= last;) {
    const x = place(row.start[k]),
      stop = place(row.end[k]);
    if (stop - x >= 2) {
      drawSpan(timeline, ctx, row.spans[k], gutter + x, gutter + stop, y, high);
      k++;
      continue;
    }
    const pixel = Math.max(0, Math.floor(x));
    const until = axis.toTime(axis.from + (pixel + 1) / scale);
    let next = firstFrom(row.start, until, k + 1, row.n);
    // One that goes on far behind the pixel is drawn by itself.
    if (next - 1 > k && place(row.end[next - 1]) - place(row.start[next - 1]) >= 2) next--;
    const since = axis.toTime(axis.from + pixel / scale);
    const share = (row.busy[next] - row.busy[k]) / Math.max(until - since, 1);
    strip.put(pixel, colorOf(timeline, row.spans[(k + next) >> 1]), Math.min(1, 0.3 + 0.7 * share));
    if (row.bad[next] > row.bad[k]) bad.push(pixel);
    k = next;
  }
  strip.draw(ctx, gutter, y, high);
  for (const pixel of bad) drawBad(timeline, ctx, gutter + pixel, y, high, 2);
}

function colorOf(timeline, i) {
  const kind = timeline.trace.kind[i];
  return kind === CALL || kind === PAUSE
    ? timeline.colors.of(timeline.trace.label[i])
    : timeline.colors.strong;
}

function drawSpan(timeline, ctx, i, left, right, y, high) {
  const { trace, colors, gutter } = timeline;
  const x = Math.max(left, gutter - 4),
    end = Math.min(right, gutter + timeline.width + 4);
  const wide = Math.max(end - x - (end - x > 3 ? 0.5 : 0), 1);
  const kind = trace.kind[i],
    state = trace.state[i];
  ctx.fillStyle = colorOf(timeline, i);
  const hollow = kind !== CALL || state === CACHED || state === CANCELLED;
  ctx.globalAlpha = hollow ? 0.28 : 1;
  ctx.fillRect(x, y, wide, high);
  ctx.globalAlpha = 1;
  if (hollow && wide > 4 && high > 4) {
    ctx.strokeStyle = colorOf(timeline, i);
    ctx.setLineDash(kind === PAUSE ? [3, 3] : []);
    ctx.strokeRect(x + 0.5, y + 0.5, wide - 1, high - 1);
    ctx.setLineDash([]);
  }
  if (state === FAILED || state === RETRIED) drawBad(timeline, ctx, x, y, high, wide, state);
  if (state === RUNNING && high > 6) drawOpenEnd(timeline, ctx, x + wide, y, high);
  if (i === timeline.selected || i === timeline.hovered) {
    ctx.strokeStyle = i === timeline.selected ? colors.accent : colors.text;
    ctx.lineWidth = 2;
    ctx.strokeRect(x + 1, y + 1, Math.max(wide - 2, 1), high - 2);
    ctx.lineWidth = 1;
  }
  if (wide < 34 || high < 12) return;
  ctx.font = SMALL;
  const sign = state === FAILED ? "✕ " : state === RETRIED ? "↻ " : "";
  const words =
    kind === CALL
      ? labelOf(trace, i)
      : `${KIND[kind]} ${trace.label[i] >= 0 ? labelOf(trace, i) : ""}`;
  const text = fitted(ctx, sign + words, wide - 8);
  ctx.fillStyle = hollow ? colors.text : colors.theme === "dark" ? "#0b0d10" : "#101318";
  ctx.textAlign = "left";
  ctx.fillText(text, x + 4, y + high / 2 + 0.5);
}

// What has failed has a bar at its top, also where it is one of many in a pixel; what
// was made again a dashed one.
function drawBad(timeline, ctx, x, y, high, wide, state = FAILED) {
  ctx.fillStyle = timeline.colors.bad;
  const thick = Math.max(2, Math.min(4, high / 4));
  if (state === FAILED) {
    ctx.fillRect(x, y, wide, thick);
  } else {
    for (let at = 0; at < wide; at += 6) ctx.fillRect(x + at, y, Math.min(3, wide - at), thick);
  }
}

function drawOpenEnd(timeline, ctx, x, y, high) {
  ctx.fillStyle = timeline.colors.text;
  ctx.beginPath();
  ctx.moveTo(x, y + high / 2);
  ctx.lineTo(x - 5, y + 2);
  ctx.lineTo(x - 5, y + high - 2);
  ctx.fill();
}

// Steals: ticks at the bottom of the worker that took something.
function drawMarks(timeline, ctx, track, y) {
  const { axis, gutter, width, trace } = timeline;
  const scale = width / (axis.to - axis.from);
  ctx.fillStyle = timeline.colors.text;
  const [first, last] = axis.shown;
  for (let k = firstMark(trace, track.marks, first); k < track.marks.length;) {
    const at = trace.start[track.marks[k]];
    if (at > last) break;
    const x = (axis.toLine(at) - axis.from) * scale;
    ctx.fillRect(gutter + x - 0.5, y + track.height - 5, 1.5, 4);
    const apart = axis.toTime(axis.from + (x + 3) / scale);
    k = firstMark(trace, track.marks, Math.max(apart, at + 1), k + 1);
  }
}

// The first of some spans that begins at a time or later.
function firstMark(trace, marks, at, low = 0) {
  let high = marks.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (trace.start[marks[middle]] < at) low = middle + 1;
    else high = middle;
  }
  return low;
}
