// The picture of what depends on what.

// What tells a picture whether the page is dark: its rules can't see the page itself.
const graphFrames = [];

function themeGraph(theme) {
  for (const frame of graphFrames) frame.dataset.theme = theme;
}

// Only drawing: whatever could act or load something is left out.
const HARMFUL = "script, foreignObject, iframe, image, use, animate, set, a";

function showGraph(svg) {
  if (!svg) return;
  const parsed = new DOMParser().parseFromString(svg, "image/svg+xml");
  const root = parsed.documentElement;
  if (root.localName !== "svg" || parsed.querySelector("parsererror")) return;
  for (const one of root.querySelectorAll(HARMFUL)) one.remove();
  for (const one of [root, ...root.querySelectorAll("*")]) {
    for (const { name } of [...one.attributes]) {
      if (/^on|href$/i.test(name)) one.removeAttribute(name);
    }
  }
  $("graph").hidden = false;
  const view = $("graph-view");
  // Its rules of style are for it alone.
  const shadow = view.attachShadow({ mode: "open" });
  const frame = el("div");
  graphFrames.push(frame);
  const sheet = el("style", {
    text:
      "svg { display: block; margin: auto; max-width: 100%; height: auto; }" +
      ":host(.actual) svg { max-width: none; }",
  });
  frame.append(document.importNode(root, true));
  shadow.append(sheet, frame);
  const button = $("graph-size");
  button.addEventListener("click", () => {
    const actual = view.classList.toggle("actual");
    button.setAttribute("aria-pressed", String(actual));
  });
}
