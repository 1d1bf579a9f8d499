// What can be done to a drawing, as plain data, and how it is done to layers.
//
// Lengths are units of a canvas of 512 x 512, times are milliseconds since the operation began, colours are "#rrggbb".
// `layer` is "picture", "ink", or one of "ink2" to "ink7". A drawing begins as ["picture", "ink"] on white paper.
//
//   { op: "stroke", layer, tool: "brush" | "eraser", colour, points: [[x, y, width, ms], …] }
//       Width is after pressure, places are after the stabiliser. How the points are joined: strokes.js, `createBrush`.
//   { op: "line" | "rectangle" | "ellipse", layer, colour, size, filled, from: [x, y], to: [x, y], ms }
//       From corner to corner, after Shift. A filled shape has no outline; an outline is `size` wide, its joins are round.
//   { op: "fill", layer, colour, at: [x, y] }     sees paper and all shown layers, never a live source (flood.js)
//   { op: "clear", layer: a layer | "all" }       the paper stays
//   { op: "paper", colour }
//   { op: "picture", layer, image }               becomes the whole layer, cut to its middle square; on the page `image` is
//                                                 a Blob (512 x 512 PNG), in a file of a recording the name of an image
//   { op: "layers", order: ["picture", "ink", …] }   all layers there are, from the paper up: a new name is an empty layer,
//                                                 a missing one is removed; "picture" stays first, "ink" stays, 8 at most
//   { op: "layer", layer, visible, opacity }      how a layer shows, opacity 0 to 1; a look, so that undo passes it over
//   { op: "undo" }, { op: "redo" }                the last of all others
//
// Done by hand they are told by "drawn"; what a hand undoes or redoes is told as such.

import { drawCropped, rgbOf, SIDE, WHOLE } from "../shared/dom.js";
import { boxAround, union } from "./boxes.js";
import { areaAround } from "./flood.js";
import { changeOf } from "./history.js";
import { createBrush } from "./strokes.js";

export const SHAPES = ["line", "rectangle", "ellipse"];

// Ways of a stroke or shape onto its layer: `advance` draws what its operation holds by now and gives the touched box.

function strokeWay(context, operation) {
  const brush = createBrush(context, operation);
  let drawn = 0;
  return {
    advance() {
      let touched = null;
      for (; drawn < operation.points.length; drawn++) touched = union(touched, brush.to(operation.points[drawn]));
      return touched;
    },
    end: () => brush.to(operation.points.at(-1)),
  };
}

function tracePath(context, { op, from, to }) {
  const [x, y] = from;
  const [width, height] = [to[0] - x, to[1] - y];
  context.beginPath();
  if (op === "rectangle") context.rect(x, y, width, height);
  else if (op === "ellipse") {
    context.ellipse(x + width / 2, y + height / 2, Math.abs(width / 2), Math.abs(height / 2), 0, 0, 2 * Math.PI);
  } else {
    context.moveTo(x, y);
    context.lineTo(...to);
  }
}

function shapeWay(context, operation, before) {
  const { colour, size } = operation;
  const filled = operation.filled && operation.op !== "line";
  let touched = null;
  return {
    advance() {
      const last = touched;
      if (last) context.putImageData(before, 0, 0, last.x, last.y, last.width, last.height);
      tracePath(context, operation);
      context.lineCap = context.lineJoin = "round";
      context.lineWidth = size;
      context.fillStyle = context.strokeStyle = colour;
      if (filled) context.fill();
      else context.stroke();
      touched = boxAround([operation.from, operation.to], filled ? 1 : size / 2 + 1);
      return union(last, touched);
    },
    end: () => null,
  };
}

// A stroke or a shape in the making. `operation` may grow between the calls of `advance`.
export function createWork(layers, operation) {
  const layer = layers.named(operation.layer);
  const { context } = layer;
  const before = context.getImageData(0, 0, SIDE, SIDE);
  const way = operation.op === "stroke" ? strokeWay(context, operation) : shapeWay(context, operation, before);
  let touched = null;
  const touch = (box) => {
    touched = union(touched, box);
    return box;
  };
  return {
    operation,
    advance() {
      layer.edition += 1;
      return touch(way.advance());
    },
    // What undo needs.
    finish() {
      touch(way.end());
      return changeOf(layer, before, touched);
    },
    cancel() {
      context.putImageData(before, 0, 0);
      layer.edition += 1;
    },
  };
}

function repainted(layer, paint) {
  const before = layer.context.getImageData(0, 0, SIDE, SIDE);
  paint(layer.context);
  return changeOf(layer, before, WHOLE);
}

function fill(layers, { layer, colour, at }) {
  const [x, y] = at.map((value) => Math.min(SIDE - 1, Math.max(0, Math.floor(value))));
  const area = areaAround(layers.seen().data, SIDE, x, y);
  const [red, green, blue] = rgbOf(colour);
  return repainted(layers.named(layer), (context) => {
    const image = context.getImageData(0, 0, SIDE, SIDE);
    const pixels = new Uint32Array(image.data.buffer);
    // The bytes of a pixel stand in the order of memory, which is little-endian wherever browsers run.
    const ink = ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
    for (let pixel = 0; pixel < area.length; pixel++) if (area[pixel]) pixels[pixel] = ink;
    context.putImageData(image, 0, 0);
  });
}

function cleared(layers, { layer }) {
  const chosen = layer === "all" ? layers.stack : [layers.named(layer)];
  const all = chosen.map((each) => repainted(each, (context) => context.clearRect(0, 0, SIDE, SIDE))).filter(Boolean);
  return all.length ? { all } : null;
}

function pictured(layers, { layer }, image) {
  return repainted(layers.named(layer), (context) => {
    context.clearRect(0, 0, SIDE, SIDE);
    drawCropped(context, image, image.width, image.height);
  });
}

function papered(layers, { colour }) {
  if (colour === layers.paper) return null;
  const paper = layers.paper;
  layers.paper = colour;
  return { paper };
}

function restacked(layers, { order }) {
  const stack = layers.stack;
  layers.stack = layers.ordered(order);
  return { stack };
}

function looked(layers, { layer, visible, opacity }) {
  Object.assign(layers.named(layer), { visible, opacity });
  return null;
}

const AT_ONCE = { fill, clear: cleared, picture: pictured, paper: papered, layers: restacked, layer: looked };

// Does an operation at once, and gives what undo needs, or null where nothing changed. `image` is a picture's, decoded.
export function done(layers, operation, image) {
  const once = AT_ONCE[operation.op];
  if (once) return once(layers, operation, image);
  if (operation.op !== "stroke" && !SHAPES.includes(operation.op)) {
    throw new Error(`There is no operation "${operation.op}" on a drawing. Those that are there stand in ink/operations.js.`);
  }
  const work = createWork(layers, operation);
  work.advance();
  return work.finish();
}

// The part of a stroke or shape that was there `ms` after it began.
export function partOf(operation, ms) {
  if (operation.op === "stroke") {
    return { ...operation, points: operation.points.filter((point, at) => at === 0 || point[3] <= ms) };
  }
  const share = operation.ms > 0 ? Math.min(1, ms / operation.ms) : 1;
  return { ...operation, to: operation.from.map((from, axis) => from + (operation.to[axis] - from) * share) };
}

// How long an operation took by hand.
export function durationOf(operation) {
  return operation.op === "stroke" ? operation.points.at(-1)[3] : (operation.ms ?? 0);
}
