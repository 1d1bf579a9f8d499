// A panel that a button opens: closed by Escape, by a click beside it and by leaving it; menus go by the arrows.

const STEPS = { ArrowDown: 1, ArrowUp: -1 };

// `opening` fills the panel just before it is shown. Gives a function that closes it.
export function createPopup(button, panel, opening = () => {}) {
  const focusable = () => [...panel.querySelectorAll("button:not(:disabled, [hidden]), input:not([hidden])")];
  const entries = () => focusable().filter((each) => each.getAttribute("role") === "menuitem");

  function close() {
    panel.hidden = true;
    button.setAttribute("aria-expanded", false);
  }

  function open() {
    opening();
    panel.hidden = false;
    button.setAttribute("aria-expanded", true);
    panel.scrollIntoView({ block: "nearest" });
    (entries()[0] ?? focusable()[0])?.focus({ preventScroll: true });
  }

  function goTo(key) {
    const all = entries();
    const at = all.indexOf(document.activeElement);
    const next = { Home: 0, End: all.length - 1 }[key] ?? (at + STEPS[key] + all.length) % all.length;
    all[next]?.focus();
  }

  button.addEventListener("click", () => (panel.hidden ? open() : close()));
  button.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" || !panel.hidden) return;
    event.preventDefault();
    open();
  });
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      close();
      button.focus();
    } else if (event.target.role === "menuitem" && (event.key in STEPS || ["Home", "End"].includes(event.key))) {
      goTo(event.key);
      event.preventDefault();
    } else {
      return;
    }
    event.stopPropagation();
  });
  const aside = (target) => target && !panel.contains(target) && !button.contains(target);
  panel.addEventListener("focusout", (event) => aside(event.relatedTarget) && close());
  document.addEventListener("pointerdown", (event) => !panel.hidden && aside(event.target) && close());

  return close;
}
