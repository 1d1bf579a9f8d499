// The drawing: layers on paper, what is done to them by hand, by a script or by a replay, and what goes to the engine.
//
// For other parts (operations are those of ink/operations.js; only what is done by hand is told by "drawn", every finished
// change by "redrawn"):
//   apply(operation) -> Promise       at once; wait for it before the next, since a picture has to be decoded
//   play(operation, { speed = 1, signal }) -> Promise   over its own time; a signal that aborts has the rest drawn at once
//   perform(operation) -> Promise     as `apply`, told as done by hand
//   layOver({ stack, paper })   an untouched drawing over these, which one undo brings
//   begin()                           an empty drawing on white paper; one undo brings back what was there
//   described() -> operations         that make this drawing out of an empty one
//   describedNow()                    the same with the bytes of pictures, an ArrayBuffer, in place of Blobs
//   setBackdrop(painter | null)       a live source in place of paper and picture; `compose()` when it has a new frame
//   showInk(shown)                    whether ink lies on a live source and can be drawn there; else it hides the drawing
//   openImage(address or Blob) -> Promise of whether it is one   onto the layer "picture", in place of what was there

import { createHistory } from "../ink/history.js";
import { createLayers, INK, isEmpty, PICTURE, WHITE } from "../ink/layers.js";
import { createWork, done, durationOf, partOf } from "../ink/operations.js";
import { SIDE, WHOLE } from "../shared/dom.js";
import { decoded, squareOf } from "./decoding.js";
import { createHands } from "./hands.js";
import { createLayersPanel } from "./layers_panel.js";
import { createToolbox } from "./toolbox.js";
import { createZoom } from "./zoom.js";

const PLAY_TICK_MS = 16;
// After these the past is of no use to the engine.
const JUMPS = ["undo", "redo", "clear", "picture"];

// A canvas as the bytes of a PNG, at once: a page that is left waits for nothing.
function bytesOf(canvas) {
  const [, text] = canvas.toDataURL("image/png").split(",");
  return Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0)).buffer;
}

export function createDrawing(studio) {
  const { events, find, keys, word } = studio;
  const left = find("input");
  const shown = find("canvas").getContext("2d", { willReadFrequently: true });
  const layers = createLayers();
  const history = createHistory(layers);
  const pictures = new WeakMap();
  let backdrop = null;
  let inkShown = false;
  let busy = false;
  let playing = 0;

  // What goes to the engine: paper and layers, or what a live source shows, with or without ink.
  function compose(box = WHOLE) {
    if (!backdrop) layers.compose(shown, box);
    else {
      backdrop(shown);
      if (inkShown) layers.composeInk(shown);
    }
  }

  // Of an empty sheet nobody wants to see what a model makes of nothing.
  function showWhetherEmpty() {
    const empty = !backdrop && !busy && layers.paper === WHITE && layers.stack.every(isEmpty);
    left.dataset.empty = empty ? "yes" : "no";
  }

  function setBackdrop(painter) {
    backdrop = painter;
    showWhetherEmpty();
    compose();
  }

  function showInk(shows) {
    inkShown = shows;
    compose();
    studio.wire.changed();
  }

  const isBusy = () => busy || playing > 0;
  const isCovered = () => backdrop !== null && !inkShown;

  function showState() {
    const { undo, redo } = history.depth;
    find("undo").disabled = undo === 0;
    find("redo").disabled = redo === 0;
    find("background").value = layers.paper;
    find("background").parentElement.style.setProperty("--paper", layers.paper);
  }

  // What every change ends with; gives whether there was one.
  function settle(operation, changed) {
    if (!changed) return false;
    left.dataset.drawn = "yes";
    showState();
    showWhetherEmpty();
    compose();
    if (JUMPS.includes(operation.op)) studio.cut();
    else studio.wire.changed();
    events.emit("redrawn");
    return true;
  }

  function change(operation, image) {
    if (operation.op === "undo" || operation.op === "redo") return settle(operation, history[operation.op]());
    const entry = done(layers, operation, image);
    if (entry) history.remember(entry);
    return settle(operation, entry !== null || operation.op === "layer");
  }

  async function changed(operation) {
    return operation.op === "picture" ? change(operation, await decoded(operation.image)) : change(operation);
  }

  async function apply(operation) {
    await changed(operation);
  }

  async function perform(operation) {
    if (await changed(operation)) events.emit("drawn", operation);
  }

  // A stroke or shape that grows: `operation` is added to between the calls of `advance`.
  function startWork(operation, byHand = true) {
    const work = createWork(layers, operation);
    busy = true;
    showWhetherEmpty();
    return {
      advance() {
        const box = work.advance();
        if (!box) return;
        compose(box);
        studio.wire.changed(true);
      },
      finish() {
        const entry = work.finish();
        busy = false;
        showWhetherEmpty();
        if (entry) history.remember(entry);
        if (settle(operation, entry !== null) && byHand) events.emit("drawn", operation);
      },
      cancel() {
        work.cancel();
        busy = false;
        showWhetherEmpty();
        compose();
        studio.wire.changed();
        events.emit("redrawn");
      },
    };
  }

  async function play(operation, { speed = 1, signal } = {}) {
    if (durationOf(operation) / speed < PLAY_TICK_MS) return apply(operation);
    const started = performance.now();
    const growing = partOf(operation, 0);
    const work = startWork(growing, false);
    playing += 1;
    try {
      for (let ms = 0; ms < durationOf(operation); ms = (performance.now() - started) * speed) {
        if (signal?.aborted) break;
        Object.assign(growing, partOf(operation, ms));
        work.advance();
        await new Promise((resolve) => setTimeout(resolve, PLAY_TICK_MS));
      }
      Object.assign(growing, partOf(operation, Infinity));
      work.advance();
    } finally {
      playing -= 1;
      work.finish();
    }
  }

  function begin() {
    const { stack, paper } = layers.renew();
    history.remember({ all: [{ stack }, { paper }] });
    settle({ op: "clear" }, true);
  }

  // The bytes of a layer, or null where nothing is on it.
  function pictureOf(layer) {
    const { edition, context } = layer;
    if (pictures.get(layer)?.edition !== edition) {
      pictures.set(layer, { edition, bytes: isEmpty(layer) ? null : bytesOf(context.canvas) });
    }
    return pictures.get(layer).bytes;
  }

  function describedNow() {
    const { stack, paper } = layers;
    const looks = stack.map(({ name, visible, opacity }) => ({ op: "layer", layer: name, visible, opacity }));
    const first = [{ op: "layers", order: stack.map(({ name }) => name) }, { op: "paper", colour: paper }];
    const images = stack.map((layer) => ({ op: "picture", layer: layer.name, image: pictureOf(layer) }));
    return [...first, ...images.filter(({ image }) => image), ...looks.filter((each) => !each.visible || each.opacity < 1)];
  }

  function described() {
    const blobOf = (bytes) => new Blob([bytes], { type: "image/png" });
    return describedNow().map((each) => (each.image ? { ...each, image: blobOf(each.image) } : each));
  }

  // A drawing of another visit in place of an untouched one; there is nothing to undo. Gives whether it was untouched.
  async function restore(operations) {
    const images = await Promise.all(operations.map(({ op, image }) => (op === "picture" ? decoded(image) : null)));
    if (left.dataset.drawn) return false;
    operations.forEach((operation, at) => done(layers, operation, images[at]));
    return settle({ op: "picture" }, true);
  }

  const stopSource = () => studio.sources.stop();

  // Gives whether it is a picture that can be drawn on.
  async function openImage(source) {
    let image;
    try {
      image = await squareOf(source);
    } catch (error) {
      studio.say(word(error.name === "SecurityError" ? "drawing.not_drawable" : "drawing.not_an_image"));
      return false;
    }
    stopSource();
    await perform({ op: "picture", layer: PICTURE, image });
    studio.say("");
    return true;
  }

  // An untouched drawing as it is, over layers that nobody has drawn here: one undo brings them.
  function layOver({ stack, paper }) {
    history.remember({ all: [{ stack }, { paper }] });
    left.dataset.drawn = "yes";
    showState();
  }

  function colourAt([x, y]) {
    const within = (value) => Math.min(SIDE - 1, Math.max(0, Math.floor(value)));
    const [red, green, blue] = shown.getImageData(within(x), within(y), 1, 1).data;
    return "#" + [red, green, blue].map((value) => value.toString(16).padStart(2, "0")).join("");
  }

  // Whether a hand may draw now; says why not where that cannot be seen.
  function takesInk() {
    if (isBusy() || isCovered()) return false;
    const { name, visible } = layers.named(drawing.layer);
    if (visible && !(backdrop && name === PICTURE)) return true;
    studio.say(word("drawing.layer_hidden"));
    return false;
  }

  function performNow(operation) {
    if (!isBusy() && !isCovered()) perform(operation);
  }

  const drawing = {
    apply,
    begin,
    colourAt,
    compose,
    described,
    describedNow,
    isBusy,
    isCovered,
    layers,
    layOver,
    openImage,
    perform,
    play,
    restore,
    setBackdrop,
    showInk,
    startWork,
    takesInk,
    get layer() {
      return layers.has(toolbox.box.layer) ? toolbox.box.layer : INK;
    },
  };

  const toolbox = createToolbox(studio);
  drawing.toolbox = toolbox;
  createHands(studio, drawing, toolbox, createZoom(studio));
  createLayersPanel(studio, drawing, toolbox);

  for (const op of ["undo", "redo"]) find(op).onclick = () => performNow({ op });
  find("clear").onclick = () => performNow({ op: "clear", layer: "all" });
  find("background").onchange = (event) => perform({ op: "paper", colour: event.target.value });
  keys.add({ keys: "Ctrl+Z", word: "drawing.undo", act: () => performNow({ op: "undo" }), repeats: true });
  const redo = ["Ctrl+Shift+Z", "Ctrl+Y"];
  keys.add({ keys: redo, word: "drawing.redo", act: () => performNow({ op: "redo" }), repeats: true });
  for (const name of ["pen_options", "layers"]) {
    find(name).onclick = () => {
      const open = find(name).getAttribute("aria-expanded") !== "true";
      find(name).setAttribute("aria-expanded", open);
      find(name + "_row").hidden = !open;
    };
  }
  showState();
  showWhetherEmpty();
  compose();

  return drawing;
}
