// What draws itself by `draw`: in the next frame, however often it is asked for.
class Drawn {
  redraw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }
}
