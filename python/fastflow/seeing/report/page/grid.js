// A table of any number of rows: only those in sight are elements.
//
// `columns` have: name, title, width (as CSS grid has it), number (whether right-aligned),
// text(row), key(row) (a number that is not below -1, by which is sorted), bad(row).

const ROW = 26;
const TALLEST = 8e6; // px: no browser has much taller elements

class Grid extends Drawn {
  constructor(host, { title, columns, least, onChoose, onOpen }) {
    super();
    Object.assign(this, { columns, onChoose, onOpen });
    this.order = new Uint32Array(0);
    this.sorted = { column: null, down: false };
    this.at = -1;
    this.pool = [];
    this.head = el("div", { class: "row head", role: "row", "aria-rowindex": 1 });
    this.cells = columns.map((column, number) => {
      const button = el("button", {
        type: "button",
        text: column.title,
        on: { click: () => this.sortBy(column) },
      });
      const cell = el(
        "div",
        {
          role: "columnheader",
          "aria-colindex": number + 1,
          "aria-sort": "none",
          class: column.number ? "number" : "",
        },
        button,
      );
      this.head.append(cell);
      return cell;
    });
    this.spacer = el("div", { role: "presentation" });
    this.body = el(
      "div",
      {
        class: "body",
        role: "rowgroup",
        tabindex: 0,
        "aria-label": `${title}: rows`,
        on: { scroll: () => this.redraw(), keydown: (event) => this.key(event) },
      },
      this.spacer,
    );
    const inner = el("div", { class: "inner", role: "presentation" }, this.head, this.body);
    this.root = el(
      "div",
      { class: "grid", role: "grid", "aria-label": title, "aria-colcount": columns.length },
      el("div", { class: "scroll-x", role: "presentation" }, inner),
    );
    this.root.style.setProperty("--columns", columns.map((one) => one.width).join(" "));
    this.root.style.setProperty("--least", `${least}px`);
    host.append(this.root);
    new ResizeObserver(() => this.redraw()).observe(this.body);
  }

  // Show other rows (numbers), in the order of the chosen column.
  show(rows, keep = false) {
    this.unsorted = rows;
    this.order = this.sorted.column
      ? sortedBy(rows, this.sorted.column.key, this.sorted.down)
      : rows;
    this.root.setAttribute("aria-rowcount", rows.length + 1);
    const visible = Math.min(Math.max(rows.length, 2), 14);
    this.body.style.height = `${visible * ROW}px`;
    this.tall = Math.min(rows.length * ROW, TALLEST);
    this.spacer.style.height = `${this.tall}px`;
    if (!keep) this.body.scrollTop = 0;
    this.at = -1;
    this.redraw();
  }

  sortBy(column, down = null) {
    const again = this.sorted.column === column;
    this.sorted = { column, down: down ?? (again ? !this.sorted.down : Boolean(column.number)) };
    this.columns.forEach((one, number) => {
      const word = one === column ? (this.sorted.down ? "descending" : "ascending") : "none";
      this.cells[number].setAttribute("aria-sort", word);
    });
    this.show(this.unsorted ?? this.order);
  }

  // Which row is at the top, and where it is; the bar moves faster than the rows if they
  // are taller than an element can be.
  get top() {
    const whole = this.order.length * ROW,
      seen = this.body.clientHeight;
    if (whole <= this.tall) return this.body.scrollTop;
    return (this.body.scrollTop / Math.max(this.tall - seen, 1)) * (whole - seen);
  }

  set top(pixels) {
    const whole = this.order.length * ROW,
      seen = this.body.clientHeight;
    this.body.scrollTop =
      whole <= this.tall ? pixels : (pixels / (whole - seen)) * (this.tall - seen);
  }

  draw() {
    const seen = Math.min(Math.ceil(this.body.clientHeight / ROW) + 1, this.order.length);
    const top = this.top;
    const first = Math.max(0, Math.min(Math.floor(top / ROW), this.order.length - seen));
    while (this.pool.length < seen) this.pool.push(this.newRow());
    this.pool.forEach((line, number) => {
      line.root.hidden = number >= seen;
      if (number < seen)
        this.fill(line, first + number, this.body.scrollTop + (first + number) * ROW - top);
    });
    this.head.style.paddingRight = `${this.body.offsetWidth - this.body.clientWidth}px`;
    const active = this.pool.find((line) => !line.root.hidden && line.place === this.at);
    if (active) this.body.setAttribute("aria-activedescendant", active.root.id);
    else this.body.removeAttribute("aria-activedescendant");
    this.drawn = (this.drawn ?? 0) + 1;
  }

  newRow() {
    const line = {
      place: -1,
      cells: this.columns.map((column, number) =>
        el("div", {
          role: "gridcell",
          "aria-colindex": number + 1,
          class: `cell${column.number ? " number" : ""}`,
        }),
      ),
    };
    Grid.made = (Grid.made ?? 0) + 1;
    line.root = el(
      "div",
      {
        class: "row",
        role: "row",
        id: `row-${Grid.made}`,
        on: {
          click: () => this.choose(line.place),
          dblclick: () => this.onOpen?.(this.order[line.place]),
        },
      },
      ...line.cells,
    );
    this.body.append(line.root);
    return line;
  }

  fill(line, place, y) {
    const row = this.order[place];
    line.place = place;
    line.root.style.transform = `translateY(${y}px)`;
    line.root.setAttribute("aria-rowindex", place + 2);
    line.root.setAttribute("aria-selected", String(place === this.at));
    this.columns.forEach((column, number) => {
      const cell = line.cells[number];
      const text = column.text(row);
      if (column.swatch) {
        const dot = el("span", { class: "swatch" });
        dot.style.background = column.swatch(row);
        cell.replaceChildren(dot, el("bdi", { text: short(text, 300) }));
      } else if (cell.textContent !== text) {
        cell.textContent = text;
      }
      if (column.bad) cell.classList.toggle("bad", column.bad(row));
    });
  }

  choose(place) {
    if (place < 0 || place >= this.order.length) return;
    this.at = place;
    this.redraw();
    this.onChoose?.(this.order[place]);
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.body.clientHeight / ROW) - 1);
    const last = this.order.length - 1;
    const to = {
      ArrowDown: this.at + 1,
      ArrowUp: this.at - 1,
      PageDown: this.at + page,
      PageUp: this.at - page,
      Home: 0,
      End: last,
    }[event.key];
    if (event.key === "Enter" && this.at >= 0) this.onOpen?.(this.order[this.at]);
    if (to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const place = Math.min(Math.max(to, 0), last);
    const y = place * ROW,
      seen = this.body.clientHeight;
    if (y < this.top) this.top = y;
    else if (y + ROW > this.top + seen) this.top = y + ROW - seen;
    this.choose(place);
  }
}
