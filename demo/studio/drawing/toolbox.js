// What the hand holds: tool, colour, size, how steady, on which layer. Emits "tools" when any of it changes.

import { INK } from "../ink/layers.js";

const OWN_COLOURS = 4;

export function createToolbox(studio) {
  const { element, find, word, keys, events } = studio;
  const left = find("input");
  const buttons = [...element.querySelectorAll("[data-tool-name]")];
  const swatches = [...element.querySelectorAll(".rv-swatch[data-colour]")];
  const given = swatches.map((swatch) => swatch.dataset.colour);
  const own = [...element.querySelectorAll(".rv-own")];
  const box = {
    tool: "brush",
    colour: "#1d1d1f",
    size: 14,
    stabiliser: 0,
    pressure: true,
    filled: false,
    ownColours: [],
    layer: INK,
  };
  let before = "brush";

  function show() {
    left.dataset.tool = box.tool;
    for (const button of buttons) button.setAttribute("aria-pressed", button.dataset.toolName === box.tool);
    own.forEach((swatch, at) => {
      const colour = box.ownColours[at];
      swatch.disabled = !colour;
      swatch.dataset.colour = colour ?? "";
      swatch.style.background = colour ?? "";
      swatch.title = word(colour ? "drawing.own_colour" : "drawing.no_own_colour", { number: at + 1, colour });
      swatch.setAttribute("aria-label", swatch.title);
    });
    for (const swatch of [...swatches, ...own]) swatch.setAttribute("aria-pressed", swatch.dataset.colour === box.colour);
    find("colour").value = box.colour;
    find("brush_size").value = box.size;
    find("stabiliser").value = 100 * box.stabiliser;
    find("pressure").checked = box.pressure;
    find("filled").checked = box.filled;
    events.emit("tools");
  }

  function set(changes) {
    Object.assign(box, changes);
    show();
  }

  function setTool(tool) {
    if (tool !== box.tool) before = box.tool;
    set({ tool });
  }

  function setColour(colour) {
    set({ colour, tool: box.tool === "eraser" ? "brush" : box.tool });
  }

  function setSize(value) {
    const range = find("brush_size");
    set({ size: Math.min(Number(range.max), Math.max(Number(range.min), Math.round(value))) });
  }

  // A colour from the drawing, and back to the tool that was there before.
  function picked(colour) {
    if (box.tool === "pick") box.tool = before === "pick" || before === "eraser" ? "brush" : before;
    setColour(colour);
  }

  for (const button of buttons) {
    const { toolName, toolKey } = button.dataset;
    button.onclick = () => setTool(toolName);
    keys.add({ keys: toolKey, word: `drawing.${toolName}`, act: () => setTool(toolName) });
  }
  for (const swatch of [...swatches, ...own]) swatch.onclick = () => setColour(swatch.dataset.colour);
  for (const swatch of swatches) swatch.style.background = swatch.dataset.colour;
  find("colour").oninput = (event) => setColour(event.target.value);
  find("brush_size").oninput = (event) => setSize(Number(event.target.value));
  find("stabiliser").oninput = (event) => set({ stabiliser: Number(event.target.value) / 100 });
  find("pressure").onchange = (event) => set({ pressure: event.target.checked });
  find("filled").onchange = (event) => set({ filled: event.target.checked });
  keys.add({ keys: "[", word: "drawing.smaller", act: () => setSize(box.size / 1.25 - 1), repeats: true });
  keys.add({ keys: "]", word: "drawing.larger", act: () => setSize(box.size * 1.25 + 1), repeats: true });

  // Colours of one's own that were drawn with, the last one first.
  events.on("drawn", ({ op, tool, colour }) => {
    if (!colour || op === "paper" || tool === "eraser" || given.includes(colour) || box.ownColours[0] === colour) return;
    set({ ownColours: [colour, ...box.ownColours.filter((each) => each !== colour)].slice(0, OWN_COLOURS) });
  });
  show();

  return { box, set, picked };
}
