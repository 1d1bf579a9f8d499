// The drawing: ink on paper, its tools, and what was done and undone.

import { drawCropped, rgbOf, SIDE, surface, WHOLE } from "./dom.js";

const HISTORY_DEPTH = 80;
const FILL_TOLERANCE = 40;
const TOOLS = ["brush", "eraser", "fill"];

export function createDrawing(studio) {
  const { element, find, word } = studio;
  const canvas = find("canvas");
  const left = find("input");
  const cursor = element.querySelector(".rv-cursor");
  const shown = canvas.getContext("2d", { willReadFrequently: true });
  const ink = surface(SIDE);
  const committed = surface(SIDE);
  const undone = [];
  const done = [];
  let backdrop = null;
  let paper = "#ffffff";
  let tool = "brush";
  let colour = "#1d1d1f";
  let size = 14;
  let stroke = null;

  // What goes to the engine: the paper and the ink, or what a source paints in their place.
  function compose() {
    if (backdrop) {
      backdrop(shown);
      return;
    }
    shown.fillStyle = paper;
    shown.fillRect(0, 0, SIDE, SIDE);
    shown.drawImage(ink.canvas, 0, 0);
  }

  function setBackdrop(painter) {
    backdrop = painter;
    compose();
  }

  // An entry of the history holds what to put back; putting it back gives the entry that undoes that.
  function swapPixels({ x, y, width, height, pixels }) {
    const before = ink.getImageData(x, y, width, height);
    ink.putImageData(pixels, x, y);
    committed.putImageData(pixels, x, y);
    return { x, y, width, height, pixels: before };
  }

  function setPaper(value) {
    const before = paper;
    paper = value;
    find("background").value = value;
    find("background").parentElement.style.setProperty("--paper", value);
    return { paper: before };
  }

  function putBack(entry) {
    return "paper" in entry ? setPaper(entry.paper) : swapPixels(entry);
  }

  function remember(entry) {
    done.push(entry);
    if (done.length > HISTORY_DEPTH) done.shift();
    undone.length = 0;
    left.dataset.drawn = "yes";
    showHistory();
  }

  function commit({ x, y, width, height }) {
    const pixels = committed.getImageData(x, y, width, height);
    committed.putImageData(ink.getImageData(x, y, width, height), x, y);
    remember({ x, y, width, height, pixels });
    compose();
  }

  function step(from, to) {
    if (stroke || backdrop || from.length === 0) return;
    to.push(putBack(from.pop()));
    showHistory();
    compose();
    studio.cut();
  }

  const undo = () => step(done, undone);
  const redo = () => step(undone, done);

  function showHistory() {
    find("undo").disabled = done.length === 0;
    find("redo").disabled = undone.length === 0;
  }

  function clear() {
    if (backdrop) return;
    ink.clearRect(0, 0, SIDE, SIDE);
    commit(WHOLE);
    studio.cut();
  }

  function pointOf(event) {
    const box = canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) * SIDE) / box.width,
      y: ((event.clientY - box.top) * SIDE) / box.height,
      width: size * (event.pointerType === "pen" ? 0.25 + 1.25 * (event.pressure || 0.5) : 1),
    };
  }

  function startStroke(event) {
    const point = pointOf(event);
    stroke = { pointer: event.pointerId, last: point, middle: point, x0: SIDE, y0: SIDE, x1: 0, y1: 0 };
    ink.lineCap = ink.lineJoin = "round";
    ink.strokeStyle = colour;
    ink.globalCompositeOperation = tool === "eraser" ? "destination-out" : "source-over";
    drawTo(point);
  }

  // Curves between the middles of the pointer's points, so that a fast hand draws no corners.
  function drawTo(point) {
    const { last, middle } = stroke;
    const next = { x: (last.x + point.x) / 2, y: (last.y + point.y) / 2 };
    ink.lineWidth = point.width;
    ink.beginPath();
    ink.moveTo(middle.x, middle.y);
    ink.quadraticCurveTo(last.x, last.y, next.x + 0.01, next.y);
    ink.stroke();
    stroke.last = point;
    stroke.middle = next;
    for (const each of [last, middle, point]) {
      stroke.x0 = Math.min(stroke.x0, each.x - point.width);
      stroke.y0 = Math.min(stroke.y0, each.y - point.width);
      stroke.x1 = Math.max(stroke.x1, each.x + point.width);
      stroke.y1 = Math.max(stroke.y1, each.y + point.width);
    }
  }

  function endStroke() {
    drawTo(stroke.last);
    ink.globalCompositeOperation = "source-over";
    const x = Math.max(0, Math.floor(stroke.x0));
    const y = Math.max(0, Math.floor(stroke.y0));
    const width = Math.min(SIDE, Math.ceil(stroke.x1)) - x;
    const height = Math.min(SIDE, Math.ceil(stroke.y1)) - y;
    stroke = null;
    if (width > 0 && height > 0) commit({ x, y, width, height });
    studio.wire.changed();
  }

  // The area around (x, y) of nearly one colour, grown by a pixel so that no pale seam stays along soft edges.
  function areaAround(x, y) {
    const seen = shown.getImageData(0, 0, SIDE, SIDE).data;
    const at = (y * SIDE + x) * 4;
    const [red, green, blue] = [seen[at], seen[at + 1], seen[at + 2]];
    const alike = (pixel) =>
      Math.abs(seen[pixel * 4] - red) <= FILL_TOLERANCE &&
      Math.abs(seen[pixel * 4 + 1] - green) <= FILL_TOLERANCE &&
      Math.abs(seen[pixel * 4 + 2] - blue) <= FILL_TOLERANCE;
    const area = new Uint8Array(SIDE * SIDE);
    const waiting = [y * SIDE + x];
    area[waiting[0]] = 1;
    while (waiting.length) {
      const pixel = waiting.pop();
      const column = pixel % SIDE;
      for (const [inside, next] of [
        [column > 0, pixel - 1],
        [column < SIDE - 1, pixel + 1],
        [pixel >= SIDE, pixel - SIDE],
        [pixel < SIDE * (SIDE - 1), pixel + SIDE],
      ]) {
        if (!inside || area[next]) continue;
        if (alike(next)) {
          area[next] = 1;
          waiting.push(next);
        } else {
          area[next] = 2;
        }
      }
    }
    return area;
  }

  function fillAt(x, y) {
    const area = areaAround(x, y);
    const image = ink.getImageData(0, 0, SIDE, SIDE);
    const [red, green, blue] = rgbOf(colour);
    for (let pixel = 0; pixel < area.length; pixel++) {
      if (area[pixel]) image.data.set([red, green, blue, 255], pixel * 4);
    }
    ink.putImageData(image, 0, 0);
    commit(WHOLE);
    studio.wire.changed();
  }

  canvas.addEventListener("pointerdown", (event) => {
    canvas.focus({ preventScroll: true });
    if (stroke || backdrop || event.button !== 0) return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    if (tool === "fill") {
      const { x, y } = pointOf(event);
      const inside = (value) => Math.min(SIDE - 1, Math.max(0, Math.floor(value)));
      fillAt(inside(x), inside(y));
      return;
    }
    startStroke(event);
    compose();
    studio.wire.changed(true);
  });

  canvas.addEventListener("pointermove", (event) => {
    showCursor(event);
    if (!stroke || event.pointerId !== stroke.pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) drawTo(pointOf(each));
    compose();
    studio.wire.changed(true);
  });

  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, (event) => {
      if (stroke && event.pointerId === stroke.pointer) endStroke();
    });
  }

  function showCursor(event) {
    const box = canvas.getBoundingClientRect();
    const across = (size * box.width) / SIDE;
    cursor.style.opacity = tool === "fill" || backdrop ? 0 : 1;
    cursor.style.width = cursor.style.height = across + "px";
    const x = event.clientX - box.left - across / 2;
    const y = event.clientY - box.top - across / 2;
    cursor.style.transform = `translate(${x}px, ${y}px)`;
  }

  canvas.addEventListener("pointerleave", () => (cursor.style.opacity = 0));

  function setTool(name) {
    tool = name;
    left.dataset.tool = name;
    for (const each of TOOLS) find(each).setAttribute("aria-pressed", each === name);
  }

  function setColour(value) {
    colour = value;
    find("colour").value = value;
    for (const swatch of element.querySelectorAll(".rv-swatch")) {
      swatch.setAttribute("aria-pressed", swatch.dataset.colour === value);
    }
    if (tool === "eraser") setTool("brush");
  }

  function setSize(value) {
    const range = find("brush_size");
    size = Math.min(Number(range.max), Math.max(Number(range.min), Math.round(value)));
    range.value = size;
  }

  // Draws an image from a URL over the whole canvas, cropped to the square.
  async function openImage(url) {
    const image = new Image();
    image.src = url;
    try {
      await image.decode();
    } catch {
      studio.say(word("drawing.not_an_image"));
      return;
    }
    studio.sources.stop();
    ink.clearRect(0, 0, SIDE, SIDE);
    drawCropped(ink, image, image.naturalWidth, image.naturalHeight);
    studio.say("");
    commit(WHOLE);
    studio.cut();
  }

  for (const name of TOOLS) find(name).onclick = () => setTool(name);
  for (const swatch of element.querySelectorAll(".rv-swatch")) {
    swatch.style.background = swatch.dataset.colour;
    swatch.onclick = () => setColour(swatch.dataset.colour);
  }
  find("colour").oninput = (event) => setColour(event.target.value);
  find("brush_size").oninput = (event) => setSize(Number(event.target.value));
  find("undo").onclick = undo;
  find("redo").onclick = redo;
  find("clear").onclick = clear;
  find("background").onchange = (event) => {
    if (event.target.value === paper) return;
    remember(setPaper(event.target.value));
    compose();
    studio.wire.changed();
  };
  find("open_image").onclick = () => find("image_file").click();
  find("image_file").onchange = async (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (!file) return;
    const url = URL.createObjectURL(file);
    await openImage(url);
    URL.revokeObjectURL(url);
  };

  canvas.addEventListener("keydown", (event) => {
    const key = event.key.toLowerCase();
    const command = event.ctrlKey || event.metaKey;
    if (key === "z" && event.shiftKey) redo();
    else if (key === "z" && command) undo();
    else if (key === "y" && command) redo();
    else if (key === "[" && !command) setSize(size / 1.25 - 1);
    else if (key === "]" && !command) setSize(size * 1.25 + 1);
    else return;
    event.preventDefault();
  });

  setTool("brush");
  setColour(colour);
  setSize(size);
  setPaper(paper);
  showHistory();
  compose();

  return { compose, setBackdrop, openImage };
}
