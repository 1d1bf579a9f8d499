// The row of layers: which there are, which one is drawn on, and how it shows.

import { INK, PICTURE } from "../ink/layers.js";

const EYE = '<path d="M2.5 12c2.3-4.3 5.5-6.4 9.5-6.4s7.2 2.1 9.5 6.4c-2.3 4.3-5.5 6.4-9.5 6.4S4.8 16.3 2.5 12z"/><circle cx="12" cy="12" r="2.8"/>';
const SHUT = '<path d="M3 9.5c2.2 3.5 5.2 5.2 9 5.2s6.8-1.7 9-5.2M6 13.5l-1.7 2.5M18 13.5l1.7 2.5M12 14.7v3"/>';

export function createLayersPanel(studio, drawing, toolbox) {
  const { find, word, events } = studio;
  const { layers } = drawing;
  const list = find("layer_list");

  function nameOf({ name }) {
    if (name === PICTURE) return word("drawing.layer_picture");
    return name === INK ? word("drawing.layer_ink") : word("drawing.layer_number", { number: name.slice(INK.length) });
  }

  function button(className, label, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.className = className;
    made.title = label;
    made.setAttribute("aria-label", label);
    made.onclick = act;
    return made;
  }

  function show(layer, look) {
    const { name, visible, opacity } = { ...layer, ...look };
    drawing.perform({ op: "layer", layer: name, visible, opacity });
  }

  function chipOf(layer) {
    const chip = document.createElement("span");
    const name = nameOf(layer);
    chip.className = "rv-layer";
    chip.dataset.layer = layer.name;
    const label = word(layer.visible ? "drawing.layer_hide" : "drawing.layer_show", { name });
    const eye = button("rv-eye", label, () => show(layer, { visible: !layer.visible }));
    eye.dataset.open = layer.visible;
    eye.innerHTML = `<svg viewBox="0 0 24 24" aria-hidden="true">${layer.visible ? EYE : SHUT}</svg>`;
    const choice = button("rv-layer-name", word("drawing.layer_choose", { name }), () => toolbox.set({ layer: layer.name }));
    choice.setAttribute("aria-pressed", layer.name === drawing.layer);
    choice.textContent = name;
    chip.append(eye, choice);
    return chip;
  }

  function showRow() {
    const focused = document.activeElement?.closest?.(".rv-layer");
    const again = focused && [focused.dataset.layer, document.activeElement.className];
    list.replaceChildren(...layers.stack.map(chipOf).reverse());
    if (again) list.querySelector(`[data-layer="${again[0]}"] .${again[1]}`)?.focus();
    const at = layers.stack.findIndex(({ name }) => name === drawing.layer);
    const chosen = layers.stack[at];
    find("layer_opacity").value = Math.round(100 * chosen.opacity);
    find("layer_up").disabled = at === 0 || at === layers.stack.length - 1;
    find("layer_down").disabled = at <= 1;
    find("layer_remove").disabled = [PICTURE, INK].includes(chosen.name);
    find("layer_add").disabled = !layers.freeName();
  }

  const order = (names) => drawing.perform({ op: "layers", order: names });
  const names = () => layers.stack.map(({ name }) => name);

  function add() {
    const name = layers.freeName();
    const at = names().indexOf(drawing.layer) + 1;
    order(names().toSpliced(at, 0, name));
    toolbox.set({ layer: name });
  }

  function remove() {
    const at = names().indexOf(drawing.layer);
    order(names().toSpliced(at, 1));
    toolbox.set({ layer: names()[Math.max(1, at - 1)] });
  }

  function moveBy(step) {
    const at = names().indexOf(drawing.layer);
    order(names().toSpliced(at, 1).toSpliced(at + step, 0, drawing.layer));
  }

  find("layer_add").onclick = add;
  find("layer_remove").onclick = remove;
  find("layer_up").onclick = () => moveBy(1);
  find("layer_down").onclick = () => moveBy(-1);
  find("layer_opacity").onchange = (event) => show(layers.named(drawing.layer), { opacity: Number(event.target.value) / 100 });
  for (const name of ["redrawn", "tools"]) events.on(name, showRow);
  showRow();
}
