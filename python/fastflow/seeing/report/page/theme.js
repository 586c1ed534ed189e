// Light and dark: as the system has it, until somebody chooses.

const THEMES = ["auto", "light", "dark"];

// `changed` draws anew; with true, at once.
function watchTheme(changed) {
  const button = $("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = "auto";
  function apply(now = false) {
    const dark = chosen === "auto" ? system.matches : chosen === "dark";
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    button.textContent = chosen[0].toUpperCase() + chosen.slice(1);
    button.setAttribute("aria-label", `Colours: ${chosen === "auto" ? "as the system" : chosen}`);
    changed(now);
  }
  button.addEventListener("click", () => {
    chosen = THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length];
    apply();
  });
  system.addEventListener("change", () => apply());
  // On paper it is light; what is folded away is shown.
  let before = chosen;
  const opened = [];
  window.addEventListener("beforeprint", () => {
    before = chosen;
    chosen = "light";
    apply(true);
    for (const one of document.querySelectorAll("details.error:not([open])")) {
      one.dispatchEvent(new Event("fill"));
      one.open = true;
      opened.push(one);
    }
  });
  window.addEventListener("afterprint", () => {
    chosen = before;
    apply();
    for (const one of opened.splice(0)) one.open = false;
  });
  apply();
}
