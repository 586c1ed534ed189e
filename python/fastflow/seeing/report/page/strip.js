// A row of pixels of their own colours, drawn at once: a rectangle for each would be the
// most of a frame.
class Strip {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.canvas.height = 1;
    this.known = new Map();
  }

  cleared(width) {
    const wide = Math.max(1, Math.ceil(width));
    if (this.canvas.width !== wide || !this.image) {
      this.canvas.width = wide;
      this.ctx = this.canvas.getContext("2d");
      this.image = this.ctx.createImageData(wide, 1);
      this.words = new Uint32Array(this.image.data.buffer);
    } else if (this.used) {
      this.words.fill(0);
    }
    this.used = false;
    return this;
  }

  put(pixel, color, alpha) {
    this.used = true;
    this.words[pixel] = (this.wordOf(color) | (Math.round(255 * alpha) << 24)) >>> 0;
  }

  // A colour (#rrggbb or rgb(r, g, b)) as bytes red, green, blue, from the lowest on.
  wordOf(color) {
    let word = this.known.get(color);
    if (word === undefined) {
      const [r, g, b] = color.startsWith("#")
        ? [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16))
        : color.match(/\d+/g).map(Number);
      word = r | (g << 8) | (b << 16);
      this.known.set(color, word);
    }
    return word;
  }

  draw(ctx, x, y, high) {
    if (!this.used) return;
    this.ctx.putImageData(this.image, 0, 0);
    ctx.imageSmoothingEnabled = false;
    ctx.drawImage(this.canvas, x, y, this.canvas.width, high);
  }
}
