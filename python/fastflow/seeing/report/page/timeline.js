// The timeline: a row for each worker on one canvas, drawn anew for each view of it.

const GUTTER = 132,
  GUTTER_NARROW = 76;

class Timeline extends Drawn {
  constructor(trace, axis, colors, tracks) {
    super();
    Object.assign(this, { trace, axis, colors, tracks });
    this.host = $("lanes");
    this.canvas = $("lanes-canvas");
    this.selected = -1;
    this.hovered = -1;
    this.strip = new Strip();
    this.lay();
    axis.listeners.push(() => this.redraw());
    this.host.addEventListener("scroll", () => this.redraw());
    new ResizeObserver(() => this.redraw()).observe(this.host);
  }

  get gutter() {
    return this.host.clientWidth < 600 ? GUTTER_NARROW : GUTTER;
  }
  get width() {
    return Math.max(1, this.host.clientWidth - this.gutter);
  }

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
    ctx.fillText(
      fitted(ctx, mark + track.name, gutter - 14),
      8,
      y + Math.min(track.height, 26) / 2,
    );
    ctx.fillStyle = colors.line;
    ctx.fillRect(0, Math.round(y + track.height) - 1, gutter + width, 1);
    ctx.save();
    ctx.beginPath();
    ctx.rect(gutter, y, width, track.height);
    ctx.clip();
    track.rows.forEach((row, number) => {
      const [above, high] = track.place(number);
      drawRow(this, ctx, row, y + above, high);
    });
    drawMarks(this, ctx, track, y);
    ctx.restore();
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
