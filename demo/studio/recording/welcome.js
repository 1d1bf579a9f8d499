// A first visit begins by itself: a hand draws sketches of the house, each is painted in its own style beside it, and
// whatever the visitor touches ends it. Then the sheet is theirs, clean; one undo brings the sketch.
//
// The sketches stand in place of the drawing, as a live source does: nothing of them is kept or recorded as the visitor's.
// Fetched when the page is there; who has been here before, comes with a link, or could not be known again, is left alone.

import { createLayers } from "../ink/layers.js";
import { createWork, done, durationOf, partOf } from "../ink/operations.js";
import { WHOLE } from "../shared/dom.js";
import { keep, recall } from "../shared/storage.js";
import { unzipped } from "./zip.js";

const MET = "met";
const SKETCHES = ["house", "cat", "sailboat"];
const SPEED = 2;
const TICK_MS = 33;
const ADMIRED_MS = 3500;
const SOFT_MS = 600;
const SILENT_KEYS = ["Tab", "Shift", "Control", "Alt", "Meta"];
const CONTROLS = "button, label, input, textarea";

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// { settings, operations } of an example on the page.
async function sketchOf(name) {
  const { recording } = document.querySelector(`.rv-example[data-name="${name}"]`).dataset;
  const files = await unzipped(Uint8Array.from(atob(recording), (sign) => sign.charCodeAt(0)).buffer);
  const { settings, events } = JSON.parse(new TextDecoder().decode(files.get("recording.json")));
  return { settings, operations: events.filter(({ type }) => type === "draw").map(({ op }) => op) };
}

// Whether somebody is here for the first time, and would be known again.
function isNew() {
  if (recall(MET)) return false;
  keep(MET, false);
  return recall(MET) === false;
}

// `link` is what stood in the page's address.
export async function welcome(studio, link) {
  const { drawing, events, find, wire, word } = studio;
  const canvas = find("input");
  await studio.kept;
  if (link || canvas.dataset.drawn || !isNew()) return;
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const layers = createLayers();
  const listeners = new AbortController();
  let faded = 0;
  let over = false;

  function show(context) {
    layers.compose(context, WHOLE);
    context.globalAlpha = faded;
    context.fillStyle = "white";
    context.fillRect(0, 0, context.canvas.width, context.canvas.height);
    context.globalAlpha = 1;
  }

  function changed() {
    if (over) return;
    drawing.compose();
    wire.changed(true);
  }

  function end() {
    if (over) return;
    over = true;
    listeners.abort();
    keep(MET, true);
    drawing.setBackdrop(null);
    if (!canvas.dataset.drawn) drawing.layOver(layers);
    wire.say({ type: "set", settings: studio.settings.values });
    studio.say("");
    studio.cut();
  }

  async function grow(operation) {
    const work = createWork(layers, partOf(operation, 0));
    const started = performance.now();
    for (let ms = 0; !over && ms < durationOf(operation); ms = (performance.now() - started) * SPEED) {
      Object.assign(work.operation, partOf(operation, ms));
      work.advance();
      changed();
      await pause(TICK_MS);
    }
    Object.assign(work.operation, operation);
    work.advance();
    work.finish();
    changed();
  }

  async function draw({ settings, operations }) {
    wire.say({ type: "set", settings: { ...studio.settings.values, ...settings } });
    wire.reset();
    studio.say(word("welcome.yours", settings));
    for (const operation of operations) {
      if (over) return;
      if (calm || durationOf(operation) === 0) done(layers, operation);
      else await grow(operation);
    }
    changed();
  }

  async function fade() {
    for (const began = performance.now(); !over && faded < 1; await pause(TICK_MS)) {
      faded = Math.min(1, (performance.now() - began) / SOFT_MS);
      changed();
    }
    if (over) return;
    layers.renew();
    faded = 0;
  }

  const { signal } = listeners;
  const options = { capture: true, signal };
  canvas.addEventListener("pointerdown", end, options);
  document.addEventListener("click", ({ target }) => target.closest(CONTROLS) && end(), options);
  document.addEventListener("keydown", ({ key }) => SILENT_KEYS.includes(key) || end(), options);
  for (const name of ["drop", "paste"]) document.addEventListener(name, end, options);
  events.on("redrawn", end);
  while (wire.connection !== "open") {
    if (over) return;
    await pause(TICK_MS);
  }
  if (over || !studio.status.hello?.welcomes) return end();
  canvas.querySelector(".rv-hint").hidden = true;
  drawing.setBackdrop(show);
  for (const [at, name] of (calm ? SKETCHES.slice(0, 1) : SKETCHES).entries()) {
    if (at > 0) await pause(ADMIRED_MS).then(fade);
    if (over) return;
    await draw(await sketchOf(name));
  }
}
