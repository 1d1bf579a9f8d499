// The layers of a drawing and the paper under them.

import { SIDE, surface, WHOLE } from "../shared/dom.js";

export const PICTURE = "picture";
export const INK = "ink";
export const WHITE = "#ffffff";
export const MOST_LAYERS = 8;

// `edition` grows with every change of its pixels.
function createLayer(name) {
  return { name, context: surface(SIDE), visible: true, opacity: 1, edition: 0 };
}

function paint(target, box, layers) {
  const { x, y, width, height } = box;
  for (const { context, visible, opacity } of layers) {
    if (!visible) continue;
    target.globalAlpha = opacity;
    target.drawImage(context.canvas, x, y, width, height, x, y, width, height);
  }
  target.globalAlpha = 1;
}

export function createLayers() {
  const scratch = surface(SIDE);
  const layers = {
    // From the paper up.
    stack: [createLayer(PICTURE), createLayer(INK)],
    paper: WHITE,
    has: (name) => layers.stack.some((layer) => layer.name === name),
    named(name) {
      const found = layers.stack.find((layer) => layer.name === name);
      if (!found) throw new Error(`There is no layer "${name}" in this drawing: add it with an operation "layers" first.`);
      return found;
    },
    // The layers of these names, those that are not there yet empty.
    ordered(names) {
      const known = [PICTURE, INK, ...extraNames()];
      const fit = names[0] === PICTURE && names.includes(INK) && new Set(names).size === names.length;
      if (!fit || !names.every((name) => known.includes(name))) {
        throw new Error(`A drawing cannot have the layers ${names}: "picture" comes first, then "ink" and "ink2" to "ink7".`);
      }
      return names.map((name) => layers.stack.find((layer) => layer.name === name) ?? createLayer(name));
    },
    // A name for one more layer, if there may be one more.
    freeName: () => extraNames().find((name) => !layers.has(name)),
    // Everything gone, as on a new page; gives the stack and the paper that were there.
    renew() {
      const { stack, paper } = layers;
      layers.stack = [createLayer(PICTURE), createLayer(INK)];
      layers.paper = WHITE;
      return { stack, paper };
    },
    // Paper and layers onto a part of a context.
    compose(target, box) {
      target.fillStyle = layers.paper;
      target.fillRect(box.x, box.y, box.width, box.height);
      paint(target, box, layers.stack);
    },
    // All but the picture, onto what a context shows already.
    composeInk: (target) => paint(target, WHOLE, layers.stack.slice(1)),
    // The pixels of paper and layers together.
    seen() {
      layers.compose(scratch, WHOLE);
      return scratch.getImageData(0, 0, SIDE, SIDE);
    },
  };
  return layers;
}

function extraNames() {
  return Array.from({ length: MOST_LAYERS - 2 }, (_, at) => `${INK}${at + 2}`);
}

export function isEmpty({ context }) {
  return !new Uint32Array(context.getImageData(0, 0, SIDE, SIDE).data.buffer).some(Boolean);
}
