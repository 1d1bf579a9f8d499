// The picture beside the drawing, or over it with a slider between the two.

import { keep, recall } from "../shared/storage.js";

const STEPS = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10, Home: -100, End: 100 };

export function createLayout(studio) {
  const { events, find, word } = studio;
  const stage = find("stage");
  const slider = find("wipe");
  const kept = recall("view", {});
  let over = kept.over === true;
  let wipe = Number.isFinite(kept.wipe) ? kept.wipe : 50;

  function show() {
    stage.dataset.layout = over ? "over" : "beside";
    find("over").setAttribute("aria-pressed", over);
    find("wipe_track").hidden = !over;
    stage.style.setProperty("--wipe", `${wipe}%`);
    slider.ariaValueNow = Math.round(wipe);
    slider.ariaValueText = word("view.wipe_value", { percent: Math.round(100 - wipe) });
  }

  function set(changes) {
    over = changes.over ?? over;
    wipe = Math.min(100, Math.max(0, changes.wipe ?? wipe));
    keep("view", { over, wipe });
    show();
  }

  const toggle = () => set({ over: !over });

  slider.addEventListener("keydown", (event) => {
    if (!(event.key in STEPS) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    set({ wipe: wipe + STEPS[event.key] });
  });

  slider.addEventListener("pointerdown", (event) => {
    slider.setPointerCapture(event.pointerId);
    slider.focus();
    event.preventDefault();
  });

  slider.addEventListener("pointermove", (event) => {
    if (!slider.hasPointerCapture(event.pointerId)) return;
    const box = find("wipe_track").getBoundingClientRect();
    set({ wipe: (100 * (event.clientX - box.left)) / box.width });
  });

  // Over the drawing, the picture is looked at from as near as the drawing is.
  events.on("zoom", ({ scale, x, y }) => {
    stage.style.setProperty("--zoom", scale === 1 ? "none" : `translate(${100 * x}%, ${100 * y}%) scale(${scale})`);
  });

  find("over").onclick = toggle;
  studio.keys.add({ keys: "x", word: "view.over_key", act: toggle });
  show();
}
