// What is one step away: the tools behind "More tools", the drawer of settings, the rest of them. A button names with
// `data-opens` what it opens and closes, `data-open` of the page has the names of all that are open, and style sheets do
// the rest: nothing leaves the page, so that scripts find every control. What is open stays so for the next visit.

import { keep, recall } from "../shared/storage.js";

const KEY = "open";
const SETTINGS = "settings";

export function createDrawers({ events }) {
  const narrow = window.matchMedia("(max-width: 1119px)");
  const open = new Set([recall(KEY, [])].flat());
  // Where the settings are a sheet over the page, nobody is met by it.
  if (narrow.matches) open.delete(SETTINGS);

  function show() {
    document.documentElement.dataset.open = [...open].join(" ");
    for (const button of document.querySelectorAll("[data-opens]")) button.ariaExpanded = open.has(button.dataset.opens);
  }

  function toggle(name) {
    if (!open.delete(name)) open.add(name);
    keep(KEY, [...open]);
    show();
    if (open.has(name)) document.getElementById(`${name}_drawer`)?.scrollIntoView({ block: "nearest" });
  }

  document.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-opens]");
    if (button) toggle(button.dataset.opens);
  });
  document.addEventListener("keydown", ({ key, target }) => {
    if (key !== "Escape" || !narrow.matches || !open.has(SETTINGS) || !target.closest("#settings_drawer")) return;
    toggle(SETTINGS);
    document.getElementById("show_settings").focus();
  });
  // By then the page's other parts are there.
  events.on("connection", show);
  show();
}
