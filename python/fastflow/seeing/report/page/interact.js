// What mouse, touch and keyboard do with the timeline.

class Interaction {
  constructor(timeline, choose) {
    this.timeline = timeline;
    this.axis = timeline.axis;
    this.choose = choose;
    this.pointers = new Map();
    const { host } = timeline;
    host.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    host.addEventListener("pointerdown", (event) => this.down(event));
    host.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"])
      host.addEventListener(name, (event) => this.up(event));
    host.addEventListener("pointerleave", () => this.hover(-1));
    host.addEventListener("dblclick", (event) => this.zoomAt(event, 0.25));
    host.addEventListener("keydown", (event) => this.key(event));
    $("zoom-in").addEventListener("click", () => this.axis.zoom(0.5));
    $("zoom-out").addEventListener("click", () => this.axis.zoom(2));
    $("zoom-all").addEventListener("click", () => this.axis.all());
  }

  // From 0 (left) to 1, and the place on the canvas.
  place(event) {
    const { host, gutter, width } = this.timeline;
    const box = host.getBoundingClientRect();
    const x = event.clientX - box.left,
      y = event.clientY - box.top;
    return { x, y, share: Math.min(Math.max((x - gutter) / width, 0), 1), inside: x >= gutter };
  }

  zoomAt(event, factor) {
    this.axis.zoom(factor, this.place(event).share);
  }

  // The wheel zooms; with shift, or sideways, it moves. Over the names of lanes, and where
  // nothing is left to zoom out of, the page scrolls.
  wheel(event) {
    const { axis } = this;
    if (!this.place(event).inside) return;
    const lines = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
    const [dx, dy] = [event.deltaX * lines, event.deltaY * lines];
    if (event.shiftKey || Math.abs(dx) > Math.abs(dy)) {
      event.preventDefault();
      axis.pan((event.shiftKey && !dx ? dy : dx) / this.timeline.width);
      return;
    }
    if (dy > 0 && axis.whole && !event.ctrlKey) return;
    event.preventDefault();
    this.zoomAt(event, Math.exp(Math.max(-1, Math.min(1, dy * (event.ctrlKey ? 0.01 : 0.0022)))));
  }

  down(event) {
    if (event.button > 0) return;
    const { x, y, inside } = this.place(event);
    this.pointers.set(event.pointerId, { x, y });
    this.moved = false;
    if (!inside && event.button === 0) this.toggle(y);
  }

  move(event) {
    const { x, y, inside } = this.place(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== "touch") this.hover(inside ? this.timeline.spanAt(x, y) : -1, x, y);
      return;
    }
    if (!this.moved && Math.hypot(x - before.x, y - before.y) < 4) return;
    this.moved = true;
    this.timeline.host.setPointerCapture(event.pointerId);
    this.hover(-1);
    if (this.pointers.size === 2) this.pinch(event.pointerId, x);
    else this.axis.pan((before.x - x) / this.timeline.width);
    this.pointers.set(event.pointerId, { x, y });
  }

  pinch(id, x) {
    const [[, other]] = [...this.pointers].filter(([key]) => key !== id);
    const before = Math.abs(this.pointers.get(id).x - other.x),
      now = Math.abs(x - other.x);
    const { gutter, width } = this.timeline;
    this.axis.zoom(Math.max(before, 8) / Math.max(now, 8), ((x + other.x) / 2 - gutter) / width);
  }

  up(event) {
    const known = this.pointers.delete(event.pointerId);
    const { x, y, inside } = this.place(event);
    if (known && !this.moved && inside && event.type === "pointerup")
      this.choose(this.timeline.spanAt(x, y));
  }

  // A click on the name of a lane shows its levels one below the other, or together.
  toggle(y) {
    const [track] = this.timeline.rowAt(y);
    if (!track || track.rows.length < 2) return;
    track.expanded = !track.expanded;
    this.timeline.lay();
  }

  hover(i, x = 0, y = 0) {
    const { timeline } = this;
    const tip = $("tip");
    if (i !== timeline.hovered) {
      timeline.hovered = i;
      timeline.redraw();
    }
    tip.hidden = i < 0;
    if (i < 0) return;
    const { trace } = timeline;
    const item = trace.item[i] >= 0 ? ` · item ${count(trace.item[i])}` : "";
    const words = `${KIND[trace.kind[i]]}, ${STATE[trace.state[i]]}, attempt ${trace.attempt[i]}${item}`;
    tip.replaceChildren(
      el("b", { text: short(labelOf(trace, i), 200), dir: "auto" }),
      el("div", { text: `${time(trace.end[i] - trace.start[i])} from ${time(trace.start[i])}` }),
      el("div", { class: "quiet", text: words }),
    );
    const error = errorText(trace, i);
    if (error) tip.append(el("div", { text: short(error, 200) }));
    const box = $("chart");
    const left = Math.min(x + 14, box.clientWidth - tip.offsetWidth - 6);
    tip.style.left = `${Math.max(left, 4)}px`;
    const above = y + timeline.host.offsetTop;
    const below = above + 16 + tip.offsetHeight < box.clientHeight;
    tip.style.top = `${below ? above + 16 : Math.max(above - tip.offsetHeight - 10, 2)}px`;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { axis } = this;
    const moves = {
      "+": () => axis.zoom(0.5),
      "=": () => axis.zoom(0.5),
      w: () => axis.zoom(0.5),
      "-": () => axis.zoom(2),
      _: () => axis.zoom(2),
      s: () => axis.zoom(2),
      a: () => axis.pan(-0.2),
      d: () => axis.pan(0.2),
      0: () => axis.all(),
      Home: () => axis.all(),
      f: () => this.fit(),
      Enter: () => this.fit(),
      Escape: () => {
        this.hover(-1);
        this.choose(-1);
      },
      ArrowLeft: () => (event.shiftKey ? axis.pan(-0.2) : this.step(-1)),
      ArrowRight: () => (event.shiftKey ? axis.pan(0.2) : this.step(1)),
      ArrowUp: () => this.stepRow(-1),
      ArrowDown: () => this.stepRow(1),
    };
    const move = moves[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!move) return;
    event.preventDefault();
    move();
  }

  fit() {
    const { trace, selected } = this.timeline;
    if (selected < 0) return;
    const [from, to] = [
      this.axis.toLine(trace.start[selected]),
      this.axis.toLine(trace.end[selected]),
    ];
    const beside = Math.max((to - from) * 0.5, 50);
    this.axis.show(from - beside, to + beside);
  }

  // The next or the last span of the row; the first one in sight if none is chosen.
  step(by) {
    const { timeline } = this;
    if (timeline.selected < 0) {
      this.chooseIn(
        timeline.tracks.flatMap((track) => track.rows),
        this.axis.shown[0],
      );
      return;
    }
    const [row, k] = timeline.find(timeline.selected);
    if (row && row.spans[k + by] !== undefined) this.choose(row.spans[k + by], true);
  }

  stepRow(by) {
    const { timeline } = this;
    const rows = timeline.tracks.flatMap((track) => track.rows);
    if (timeline.selected < 0) {
      this.chooseIn(rows, this.axis.shown[0]);
      return;
    }
    const [row] = timeline.find(timeline.selected);
    const number = rows.indexOf(row) + by;
    const at = timeline.trace.start[timeline.selected];
    this.chooseIn(by > 0 ? rows.slice(number) : rows.slice(0, number + 1).reverse(), at);
  }

  // In the first row that has spans, the one that ends after a time.
  chooseIn(rows, at) {
    const row = rows.find((one) => one.n > 0);
    if (row) this.choose(row.spans[Math.min(row.from(at), row.n - 1)], true);
  }
}
