// What was done to a drawing and can be undone: of pixels only the small squares that changed, a plain one as one number.
//
// An entry is { layer, squares }, { paper }, { stack }, or { all: entries }. Each holds what to put back; putting it back
// leaves in it what was there, so that the same entry goes on to redo.

import { SIDE } from "../shared/dom.js";

const SQUARE = 32;
const FEWEST_KEPT = 120;
const MOST_BYTES = 64 * 2 ** 20;
const LAYER_BYTES = SIDE * SIDE * 4;

const wordsOf = (image) => new Uint32Array(image.data.buffer);

// The pixels of a square of an image [SIDE x SIDE], or one number where they are all alike.
function squareOf(words, x, y) {
  const pixels = new Uint32Array(SQUARE * SQUARE);
  for (let row = 0; row < SQUARE; row++) {
    const from = (y + row) * SIDE + x;
    pixels.set(words.subarray(from, from + SQUARE), row * SQUARE);
  }
  return pixels.every((pixel) => pixel === pixels[0]) ? pixels[0] : pixels;
}

function putSquare(words, x, y, pixels) {
  for (let row = 0; row < SQUARE; row++) {
    const from = (y + row) * SIDE + x;
    if (typeof pixels === "number") words.fill(pixels, from, from + SQUARE);
    else words.set(pixels.subarray(row * SQUARE, (row + 1) * SQUARE), from);
  }
}

function differs(first, second, x, y) {
  for (let row = 0; row < SQUARE; row++) {
    const from = (y + row) * SIDE + x;
    for (let at = from; at < from + SQUARE; at++) if (first[at] !== second[at]) return true;
  }
  return false;
}

// What puts a layer back to `before` inside `box`, or null where nothing changed.
export function changeOf(layer, before, box) {
  if (!box) return null;
  const old = wordsOf(before);
  const now = wordsOf(layer.context.getImageData(0, 0, SIDE, SIDE));
  const squares = [];
  const start = (value) => Math.floor(value / SQUARE) * SQUARE;
  for (let y = start(box.y); y < box.y + box.height; y += SQUARE) {
    for (let x = start(box.x); x < box.x + box.width; x += SQUARE) {
      if (differs(old, now, x, y)) squares.push({ x, y, pixels: squareOf(old, x, y) });
    }
  }
  if (squares.length === 0) return null;
  layer.edition += 1;
  return { layer, squares };
}

function exchangeSquares({ layer, squares }) {
  const image = layer.context.getImageData(0, 0, SIDE, SIDE);
  const words = wordsOf(image);
  for (const square of squares) {
    const { x, y, pixels } = square;
    square.pixels = squareOf(words, x, y);
    putSquare(words, x, y, pixels);
  }
  layer.context.putImageData(image, 0, 0);
  layer.edition += 1;
}

function exchange(layers, entry) {
  if (entry.all) for (const each of entry.all.reverse()) exchange(layers, each);
  else if (entry.squares) exchangeSquares(entry);
  else if (entry.stack) [layers.stack, entry.stack] = [entry.stack, layers.stack];
  else [layers.paper, entry.paper] = [entry.paper, layers.paper];
}

function bytesOf(entry) {
  if (entry.all) return entry.all.reduce((sum, each) => sum + bytesOf(each), 0);
  if (entry.stack) return LAYER_BYTES * entry.stack.length;
  return (entry.squares ?? []).reduce((sum, { pixels }) => sum + (pixels.byteLength ?? 8), 0);
}

export function createHistory(layers) {
  const done = [];
  const undone = [];

  function step(from, to) {
    const entry = from.pop();
    if (!entry) return false;
    exchange(layers, entry);
    to.push(entry);
    return true;
  }

  return {
    remember(entry) {
      done.push(entry);
      undone.length = 0;
      while (done.length > FEWEST_KEPT && bytesOf({ all: done }) > MOST_BYTES) done.shift();
    },
    undo: () => step(done, undone),
    redo: () => step(undone, done),
    forget() {
      done.length = undone.length = 0;
    },
    get depth() {
      return { undo: done.length, redo: undone.length };
    },
  };
}
