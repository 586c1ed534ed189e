// The timeline: a row for each worker on one canvas, drawn anew for each view of it.
//
// Where spans are narrower than two pixels, a pixel shows how busy its time was, in the
// colour of a span in its middle; so a frame costs as much as the canvas is wide.

const GUTTER = 132, GUTTER_NARROW = 76;

class Timeline {
  constructor(trace, axis, colors, tracks) {
    Object.assign(this, { trace, axis, colors, tracks });
    this.host = $("lanes");
    this.canvas = $("lanes-canvas");
    this.selected = -1;
    this.hovered = -1;
    this.waiting = false;
    this.strip = new Strip();
    this.lay();
    axis.listeners.push(() => this.redraw());
    this.host.addEventListener("scroll", () => this.redraw());
    new ResizeObserver(() => this.redraw()).observe(this.host);
  }

  get gutter() { return this.host.clientWidth < 600 ? GUTTER_NARROW : GUTTER; }
  get width() { return Math.max(1, this.host.clientWidth - this.gutter); }

  // Where each track is.
  lay() {
    let top = 0;
    for (const track of this.tracks) {
      track.top = top;
      top += track.height;
    }
    this.height = top;
    $("lanes-height").style.height = `${Math.max(top, 22)}px`;
    this.redraw();
  }

  // Draw in the next frame, however often it is asked for.
  redraw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  draw() {
    const { host, colors } = this;
    const shown = Math.min(this.height || 22, host.clientHeight || 22);
    this.canvas.style.height = `${shown}px`;
    const ctx = prepared(this.canvas, host.clientWidth, shown);
    const top = host.scrollTop;
    this.drawFolds(ctx, shown, false);
    for (const track of this.tracks) {
      const y = track.top - top;
      if (y + track.height < 0 || y > shown) continue;
      this.drawTrack(ctx, track, y);
    }
    this.drawFolds(ctx, shown, true);
    ctx.fillStyle = colors.line;
    ctx.fillRect(this.gutter - 1, 0, 1, shown);
    this.drawAxis();
    this.tell();
  }

  // What is shown, for who can't see it (and for tests).
  tell() {
    const [from, to] = this.axis.shown;
    Object.assign(this.host.dataset, { from: Math.round(from), to: Math.round(to) });
    const words = `Timeline: a row for each worker; ${time(from)} to ${time(to)} is shown`;
    if (this.host.getAttribute("aria-label") !== words) this.host.setAttribute("aria-label", words);
  }

  drawTrack(ctx, track, y) {
    const { colors, gutter, width } = this;
    ctx.fillStyle = colors.text;
    ctx.textAlign = "left";
    ctx.font = FONT;
    const mark = track.rows.length > 1 ? (track.expanded ? "▾ " : "▸ ") : "";
    ctx.fillText(fitted(ctx, mark + track.name, gutter - 14), 8, y + Math.min(track.height, 26) / 2);
    ctx.fillStyle = colors.line;
    ctx.fillRect(0, Math.round(y + track.height) - 1, gutter + width, 1);
    ctx.save();
    ctx.beginPath();
    ctx.rect(gutter, y, width, track.height);
    ctx.clip();
    track.rows.forEach((row, number) => {
      const [above, high] = track.place(number);
      this.drawRow(ctx, row, y + above, high);
    });
    this.drawMarks(ctx, track, y);
    ctx.restore();
  }

  drawRow(ctx, row, y, high) {
    const { axis, gutter, width, trace } = this;
    const scale = width / (axis.to - axis.from);
    const place = (at) => (axis.toLine(at) - axis.from) * scale;
    const [first, last] = axis.shown;
    const strip = this.strip.cleared(width), bad = [];
    for (let k = row.from(first); k < row.n && row.start[k] <= last;) {
      const x = place(row.start[k]), stop = place(row.end[k]);
      if (stop - x >= 2) {
        this.drawSpan(ctx, row.spans[k], gutter + x, gutter + stop, y, high);
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
      strip.put(pixel, this.colorOf(row.spans[(k + next) >> 1]), Math.min(1, 0.3 + 0.7 * share));
      if (row.bad[next] > row.bad[k]) bad.push(pixel);
      k = next;
    }
    strip.draw(ctx, gutter, y, high);
    for (const pixel of bad) this.drawBad(ctx, gutter + pixel, y, high, 2);
  }

  colorOf(i) {
    const kind = this.trace.kind[i];
    return kind === CALL || kind === PAUSE ? this.colors.of(this.trace.label[i]) : this.colors.strong;
  }

  drawSpan(ctx, i, left, right, y, high) {
    const { trace, colors, gutter } = this;
    const x = Math.max(left, gutter - 4), end = Math.min(right, gutter + this.width + 4);
    const wide = Math.max(end - x - (end - x > 3 ? 0.5 : 0), 1);
    const kind = trace.kind[i], state = trace.state[i];
    ctx.fillStyle = this.colorOf(i);
    const hollow = kind !== CALL || state === CACHED || state === CANCELLED;
    ctx.globalAlpha = hollow ? 0.28 : 1;
    ctx.fillRect(x, y, wide, high);
    ctx.globalAlpha = 1;
    if (hollow && wide > 4 && high > 4) {
      ctx.strokeStyle = this.colorOf(i);
      ctx.setLineDash(kind === PAUSE ? [3, 3] : []);
      ctx.strokeRect(x + 0.5, y + 0.5, wide - 1, high - 1);
      ctx.setLineDash([]);
    }
    if (state === FAILED || state === RETRIED) this.drawBad(ctx, x, y, high, wide, state);
    if (state === RUNNING && high > 6) this.drawOpenEnd(ctx, x + wide, y, high);
    if (i === this.selected || i === this.hovered) {
      ctx.strokeStyle = i === this.selected ? colors.accent : colors.text;
      ctx.lineWidth = 2;
      ctx.strokeRect(x + 1, y + 1, Math.max(wide - 2, 1), high - 2);
      ctx.lineWidth = 1;
    }
    if (wide < 34 || high < 12) return;
    ctx.font = SMALL;
    const sign = state === FAILED ? "✕ " : state === RETRIED ? "↻ " : "";
    const words = kind === CALL ? labelOf(trace, i) : `${KIND[kind]} ${trace.label[i] >= 0 ? labelOf(trace, i) : ""}`;
    const text = fitted(ctx, sign + words, wide - 8);
    ctx.fillStyle = hollow ? colors.text : colors.theme === "dark" ? "#0b0d10" : "#101318";
    ctx.textAlign = "left";
    ctx.fillText(text, x + 4, y + high / 2 + 0.5);
  }

  // What has failed has a bar at its top, also where it is one of many in a pixel; what
  // was made again a dashed one.
  drawBad(ctx, x, y, high, wide, state = FAILED) {
    ctx.fillStyle = this.colors.bad;
    const thick = Math.max(2, Math.min(4, high / 4));
    if (state === FAILED) {
      ctx.fillRect(x, y, wide, thick);
    } else {
      for (let at = 0; at < wide; at += 6) ctx.fillRect(x + at, y, Math.min(3, wide - at), thick);
    }
  }

  drawOpenEnd(ctx, x, y, high) {
    ctx.fillStyle = this.colors.text;
    ctx.beginPath();
    ctx.moveTo(x, y + high / 2);
    ctx.lineTo(x - 5, y + 2);
    ctx.lineTo(x - 5, y + high - 2);
    ctx.fill();
  }

  // Steals: ticks at the bottom of the worker that took something.
  drawMarks(ctx, track, y) {
    const { axis, gutter, width, trace } = this;
    const scale = width / (axis.to - axis.from);
    ctx.fillStyle = this.colors.text;
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

  // Folded gaps are grey; how long they were is said last, on top of waits.
  drawFolds(ctx, height, words) {
    const { axis, gutter, width, colors } = this;
    const scale = width / (axis.to - axis.from);
    for (const [begin, end] of axis.folded ? axis.gaps : []) {
      const x = Math.max((axis.toLine(begin) - axis.from) * scale, 0);
      const wide = Math.min((axis.toLine(end) - axis.from) * scale, width) - x;
      if (wide < 0 || x > width) continue;
      if (!words) {
        ctx.fillStyle = colors.line;
        ctx.fillRect(gutter + x, 0, Math.max(wide, 3), height);
        continue;
      }
      ctx.font = SMALL;
      ctx.textAlign = "center";
      const text = `⋯ ${time(end - begin)}`;
      const long = ctx.measureText(text).width;
      if (long + 6 > wide) continue;
      ctx.fillStyle = colors.panel;
      ctx.fillRect(gutter + x + wide / 2 - long / 2 - 3, 3, long + 6, 15);
      ctx.fillStyle = colors.quiet;
      ctx.fillText(text, gutter + x + wide / 2, 11);
    }
  }

  drawAxis() {
    const { axis, colors, gutter, width } = this;
    const ctx = prepared($("axis"), this.host.clientWidth, 24);
    ctx.fillStyle = colors.quiet;
    ctx.textAlign = "left";
    ctx.font = SMALL;
    const [from, to] = axis.shown;
    ctx.fillText(fitted(ctx, time(to - from), gutter - 10), 8, 12);
    for (const [x, text] of axis.ticks(width)) {
      ctx.fillRect(gutter + x, 16, 1, 8);
      if (x + ctx.measureText(text).width + 4 < width) ctx.fillText(text, gutter + x + 4, 12);
    }
  }

  // Which track and row are at a place of the canvas.
  rowAt(y) {
    const at = y + this.host.scrollTop;
    const track = this.tracks.find((one) => at >= one.top && at < one.top + one.height);
    if (!track) return [null, null];
    let best = null;
    track.rows.forEach((row, number) => {
      const [above, high] = track.place(number);
      if (at - track.top >= above - 1 && at - track.top <= above + high + 1) best = row;
    });
    return [track, best];
  }

  // The span at a place, or the nearest one within three pixels; -1 if there is none.
  spanAt(x, y) {
    const [, row] = this.rowAt(y);
    const { axis } = this;
    if (!row || x < this.gutter) return -1;
    const per = (axis.to - axis.from) / this.width;
    const at = (pixels) => axis.toTime(axis.from + (x - this.gutter + pixels) * per);
    const k = row.from(at(0));
    if (k < row.n && row.start[k] <= at(0)) return row.spans[k];
    if (k < row.n && row.start[k] <= at(3)) return row.spans[k];
    return k > 0 && row.end[k - 1] >= at(-3) ? row.spans[k - 1] : -1;
  }

  // The row that has a span, and its place in it.
  find(i) {
    for (const track of this.tracks) {
      if (track.lane !== this.trace.lane[i]) continue;
      for (const row of track.rows) {
        const k = firstFrom(row.spans, i);
        if (row.spans[k] === i) return [row, k];
      }
    }
    return [null, -1];
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
