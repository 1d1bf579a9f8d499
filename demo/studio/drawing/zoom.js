// How near one looks at the drawing: the canvas turned large inside its square. What goes to the engine stays the whole.
//
// Places are shares of the square, 0 to 1. Emits "zoom" {scale, x, y}: where the canvas's corner lies, and its size in squares.

const LARGEST = 12;
const STEP = 1.5;
const PIXELS_FROM = 4;
const FASTEST_WHEEL = 30;

export function createZoom(studio) {
  const { find, word, keys, events } = studio;
  const canvas = find("canvas");
  const square = find("input");
  const level = find("zoom_level");
  const view = { scale: 1, x: 0, y: 0 };

  function show() {
    const { scale, x, y } = view;
    canvas.style.transform = scale === 1 ? "" : `translate(${100 * x}%, ${100 * y}%) scale(${scale})`;
    square.dataset.zoom = scale === 1 ? "fit" : scale < PIXELS_FROM ? "near" : "pixels";
    level.textContent = word("drawing.zoom_level", { percent: Math.round(100 * scale) });
    level.setAttribute("aria-label", `${level.textContent}: ${word("drawing.zoom_fit")}`);
    find("zoom_out").disabled = scale === 1;
    find("zoom_in").disabled = scale === LARGEST;
    events.emit("zoom", { ...view });
  }

  // The canvas always covers the square.
  function set(scale, x, y) {
    const within = (value) => Math.min(0, Math.max(1 - scale, value));
    Object.assign(view, { scale, x: within(x), y: within(y) });
    show();
  }

  // `at` keeps its place.
  function by(factor, at = { x: 0.5, y: 0.5 }) {
    const scale = Math.min(LARGEST, Math.max(1, view.scale * factor));
    const change = scale / view.scale;
    set(scale, at.x - (at.x - view.x) * change, at.y - (at.y - view.y) * change);
  }

  const move = (right, down) => set(view.scale, view.x + right, view.y + down);
  const fit = () => set(1, 0, 0);

  // Where a pointer is in the square.
  function placeOf({ clientX, clientY }) {
    const box = square.getBoundingClientRect();
    return { x: (clientX - box.left) / box.width, y: (clientY - box.top) / box.height };
  }

  // The drawing goes along with two fingers, from where they were to where they are.
  function pinch(before, after) {
    const between = ([one, other]) => ({ x: (one.x + other.x) / 2, y: (one.y + other.y) / 2 });
    const apart = ([one, other]) => Math.max(0.01, Math.hypot(one.x - other.x, one.y - other.y));
    const [from, to] = [between(before), between(after)];
    by(apart(after) / apart(before), from);
    move(to.x - from.x, to.y - from.y);
  }

  canvas.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && view.scale === 1) return;
      event.preventDefault();
      const box = square.getBoundingClientRect();
      const turned = Math.min(FASTEST_WHEEL, Math.max(-FASTEST_WHEEL, event.deltaY));
      if (event.ctrlKey) by(Math.exp(-turned / 100), placeOf(event));
      else move(-event.deltaX / box.width, -event.deltaY / box.height);
    },
    { passive: false },
  );
  find("zoom_in").onclick = () => by(STEP);
  find("zoom_out").onclick = () => by(1 / STEP);
  for (const name of ["zoom_fit", "zoom_level"]) find(name).onclick = fit;
  keys.add({ keys: ["Ctrl++", "Ctrl+="], word: "drawing.zoom_in", act: () => by(STEP), canvas: true, repeats: true });
  keys.add({ keys: "Ctrl+-", word: "drawing.zoom_out", act: () => by(1 / STEP), canvas: true, repeats: true });
  keys.add({ keys: "Ctrl+0", word: "drawing.zoom_fit", act: fit, canvas: true });
  show();

  return {
    by,
    fit,
    move,
    pinch,
    placeOf,
    get scale() {
      return view.scale;
    },
  };
}
