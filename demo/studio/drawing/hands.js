// Hands on the canvas: a mouse, fingers, a pen or keys, made into operations on the drawing.

import { SHAPES } from "../ink/operations.js";
import { createString, widthOf } from "../ink/strokes.js";
import { SIDE } from "../shared/dom.js";

const KEY_STEP = 8;
const MIDDLE_BUTTON = 1;
const RIGHT_BUTTON = 2;
const HELD_DRAWING = 1;
const PEN_ERASER = 32;
// A finger that has drawn for longer and farther than this has drawn a stroke, whatever touches the canvas then.
const STROKE_MS = 250;
const STROKE_LENGTH = 32;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const KEYS = { pointerId: "keys", pointerType: "keys" };
const EIGHTH = Math.PI / 4;

const tidy = (value) => Math.round(value * 100) / 100;

// The end of a shape with Shift: a line in one of eight directions, as long as the box's longer side otherwise.
export function straightened(tool, [x, y], [endX, endY]) {
  const [right, down] = [endX - x, endY - y];
  if (tool === "line") {
    const angle = Math.round(Math.atan2(down, right) / EIGHTH) * EIGHTH;
    const length = Math.hypot(right, down);
    return [tidy(x + length * Math.cos(angle)), tidy(y + length * Math.sin(angle))];
  }
  const side = Math.max(Math.abs(right), Math.abs(down));
  return [x + Math.sign(right || 1) * side, y + Math.sign(down || 1) * side];
}

export function createHands(studio, drawing, toolbox, zoom) {
  const { element, find, word, keys } = studio;
  const { box } = toolbox;
  const canvas = find("canvas");
  const left = find("input");
  const cursor = element.querySelector(".rv-cursor");
  const keyPlace = [SIDE / 2, SIDE / 2];
  const fingers = new Map();
  // What is being drawn, and by which pointer.
  let hand = null;
  let panning = null;
  let penIsNear = false;
  let space = null;

  function placeOf(event) {
    const at = canvas.getBoundingClientRect();
    return [tidy(((event.clientX - at.left) * SIDE) / at.width), tidy(((event.clientY - at.top) * SIDE) / at.height)];
  }

  function operationAt(place, event) {
    const tool = event.buttons & PEN_ERASER ? "eraser" : box.tool;
    const { colour, filled, size } = box;
    const layer = drawing.layer;
    if (SHAPES.includes(tool)) return { op: tool, layer, colour, size, filled, from: place, to: place, ms: 0 };
    return { op: "stroke", layer, tool, colour, points: [[...place, tidy(widthOf(size, event, box.pressure)), 0]] };
  }

  // `event` says by which pointer, when, and how hard it presses.
  function begin(place, event) {
    if (hand || !drawing.takesInk()) return;
    if (box.tool === "pick" || event.altKey) {
      toolbox.picked(drawing.colourAt(place));
      return;
    }
    if (box.tool === "fill") {
      drawing.perform({ op: "fill", layer: drawing.layer, colour: box.colour, at: place });
      return;
    }
    const operation = operationAt(place, event);
    const string = createString(operation.op === "stroke" ? box.stabiliser : 0);
    string.pull(place);
    hand = { operation, string, pointer: event.pointerId, type: event.pointerType, started: event.timeStamp, place };
    hand.work = drawing.startWork(operation);
    hand.work.advance();
  }

  function pointTo(place, event) {
    const { points } = hand.operation;
    const ms = Math.max(points.at(-1)[3], tidy(event.timeStamp - hand.started));
    points.push([...place.map(tidy), tidy(widthOf(box.size, event, box.pressure)), ms]);
  }

  function follow(place, event) {
    const { operation, string } = hand;
    hand.place = place;
    if (operation.op === "stroke") {
      const pen = string.pull(place);
      if (pen) pointTo(pen, event);
      return;
    }
    operation.to = event.shiftKey ? straightened(operation.op, operation.from, place) : place;
    operation.ms = tidy(Math.max(0, event.timeStamp - hand.started));
  }

  function end(event) {
    const { operation, place, work } = hand;
    // A steadied line still ends where the hand was lifted.
    const [x, y] = operation.points?.at(-1) ?? place;
    if (operation.op === "stroke" && (x !== place[0] || y !== place[1])) pointTo(place, event);
    hand = null;
    work.advance();
    work.finish();
  }

  function cancel() {
    hand?.work.cancel();
    hand = null;
  }

  function isStroke({ operation, started, place }, event) {
    const [x, y] = operation.points?.[0] ?? operation.from;
    const farthest = Math.max(...(operation.points ?? [place]).map(([toX, toY]) => Math.hypot(toX - x, toY - y)));
    return event.timeStamp - started > STROKE_MS && farthest > STROKE_LENGTH;
  }

  // What a finger had begun when a palm, a pen or a second finger came: a stroke, which undo takes away, or an accident.
  function giveWay(event) {
    if (hand?.type !== "touch") return;
    if (isStroke(hand, event)) end({ pointerType: hand.type, timeStamp: event.timeStamp });
    else cancel();
  }

  // Two fingers take the drawing along.
  function touch(event) {
    if (!penIsNear) fingers.set(event.pointerId, zoom.placeOf(event));
    if (fingers.size === 2) giveWay(event);
  }

  function pinch(event) {
    const before = [...fingers.values()];
    fingers.set(event.pointerId, zoom.placeOf(event));
    zoom.pinch(before, [...fingers.values()]);
  }

  canvas.addEventListener("pointerdown", (event) => {
    canvas.focus({ preventScroll: true });
    const touches = event.pointerType === "touch";
    if (touches) touch(event);
    else giveWay(event);
    if (hand?.pointer === event.pointerId) end(event);
    if (event.button === MIDDLE_BUTTON || (event.button === 0 && space)) {
      event.preventDefault();
      canvas.setPointerCapture(event.pointerId);
      panning = { pointer: event.pointerId, place: zoom.placeOf(event) };
      left.dataset.panning = "yes";
      if (space) space.used = true;
      return;
    }
    const draws = event.button === 0 || event.buttons & PEN_ERASER;
    if (!draws || fingers.size > 1 || (touches && penIsNear)) return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    begin(placeOf(event), event);
  });

  function pan(event) {
    const place = zoom.placeOf(event);
    zoom.move(place.x - panning.place.x, place.y - panning.place.y);
    panning.place = place;
  }

  function letGo(event) {
    fingers.delete(event.pointerId);
    if (panning?.pointer === event.pointerId) {
      panning = null;
      delete left.dataset.panning;
    }
    if (hand?.pointer === event.pointerId) end(event);
  }

  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "touch") showCursor(...squarePlace(event), event.altKey);
    // A menu, another window or a dialog has had the release; the right button, in the middle of a stroke, opens a menu.
    const draws = event.buttons & (HELD_DRAWING | PEN_ERASER) && event.button !== RIGHT_BUTTON;
    if (event.buttons === 0 || (hand?.pointer === event.pointerId && !draws)) letGo(event);
    if (panning?.pointer === event.pointerId) pan(event);
    else if (fingers.size === 2 && fingers.has(event.pointerId)) pinch(event);
    else if (hand?.pointer === event.pointerId) {
      const events = event.getCoalescedEvents?.() ?? [];
      for (const each of events.length ? events : [event]) follow(placeOf(each), each);
      hand.work.advance();
    }
  });

  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) canvas.addEventListener(name, letGo);
  canvas.addEventListener("contextmenu", (event) => hand && hand.type !== "keys" && end(event));

  // While a pen draws or hovers, a touch is the palm.
  canvas.addEventListener("pointerenter", (event) => (penIsNear ||= event.pointerType === "pen"));
  canvas.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "pen") penIsNear = false;
    cursor.style.opacity = 0;
  });

  // The square as it is on the screen, with how much of the screen a length of its own takes: a zoom in the page's style
  // makes them differ.
  function squareNow() {
    const { left: x, top: y, width } = left.getBoundingClientRect();
    return { x, y, scale: width / left.offsetWidth };
  }

  // A place on the screen as one in the square.
  function squarePlace({ clientX, clientY }) {
    const { x, y, scale } = squareNow();
    return [(clientX - x) / scale - left.clientLeft, (clientY - y) / scale - left.clientTop];
  }

  // A ring of the brush's size; for tools that act at a point, and where nothing can be drawn, the pointer shows instead.
  function showCursor(x, y, picks = false) {
    const across = Math.max(4, (box.size * canvas.getBoundingClientRect().width) / SIDE / squareNow().scale);
    left.dataset.picks = picks ? "yes" : "no";
    cursor.style.opacity = drawing.isCovered() ? 0 : 1;
    cursor.style.width = cursor.style.height = across + "px";
    cursor.style.transform = `translate(${x - across / 2}px, ${y - across / 2}px)`;
  }

  // Keys: arrows move a pen of their own, Space or Enter puts it down and lifts it.

  function showKeyCursor() {
    const at = canvas.getBoundingClientRect();
    const [clientX, clientY] = [at.left + (keyPlace[0] * at.width) / SIDE, at.top + (keyPlace[1] * at.height) / SIDE];
    showCursor(...squarePlace({ clientX, clientY }));
  }

  function keyEvent(event) {
    return { ...KEYS, timeStamp: event.timeStamp, shiftKey: event.shiftKey, buttons: 0 };
  }

  function moveKeys(event) {
    const length = (event.shiftKey && !hand ? 4 : 1) * (KEY_STEP / zoom.scale);
    ARROWS[event.key].forEach((direction, axis) => {
      keyPlace[axis] = Math.min(SIDE, Math.max(0, tidy(keyPlace[axis] + direction * length)));
    });
    if (hand?.type === "keys") {
      follow([...keyPlace], keyEvent(event));
      hand.work.advance();
    }
    showKeyCursor();
  }

  function toggleKeys(event) {
    if (hand?.type === "keys") end(keyEvent(event));
    else begin([...keyPlace], keyEvent(event));
    find("pen_state").textContent = word(hand ? "drawing.pen_down" : "drawing.pen_up");
    showKeyCursor();
  }

  function cancelAll() {
    cancel();
    find("pen_state").textContent = "";
  }

  const arrows = Object.keys(ARROWS);
  const withShift = arrows.map((arrow) => "Shift+" + arrow);
  keys.add({ keys: [...arrows, ...withShift], word: "drawing.key_move", act: moveKeys, canvas: true, repeats: true });
  keys.add({ keys: ["Enter", "Shift+Enter"], word: "drawing.key_pen", act: toggleKeys, canvas: true });
  // Acts when it is let go: until then it may still be the pan.
  keys.add({ keys: " ", word: "drawing.key_space", act: () => (space ??= { used: false }), canvas: true });
  keys.add({ keys: "Escape", word: "drawing.key_cancel", act: cancelAll, canvas: true });
  keys.add({ keys: "Shift", word: "drawing.key_straight" });
  keys.add({ keys: "Alt", word: "drawing.key_alt" });
  canvas.addEventListener("keyup", (event) => {
    if (event.key !== " " || !space) return;
    if (!space.used) toggleKeys(event);
    space = null;
  });
  canvas.addEventListener("blur", () => {
    space = null;
    if (hand?.type === "keys") end({ ...KEYS, timeStamp: hand.started });
  });

  return { cancel };
}
