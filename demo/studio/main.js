// The studio: its parts, in the order in which they lean on each other.
//
// Each part is made once, by its `create…(studio)`, and gives the few functions that others call. `studio` carries:
//   element, find(id), trigger(event)   the component on the page, an element of it, an event for Gradio
//   word(path, values), say(sentence)   a text of demo/words/en.json; the sentence under the pictures ("" takes it away)
//   events.on(name, f), .emit(name, x)  what parts tell each other: see wire.js and settings.js for who emits what
//   wire, settings, hidden, status, drawing, sources, view   the parts
// A part that stands alone goes into a file of its own, with its markup and style in files of the same name.

import { createDrawing } from "./drawing.js";
import { createEvents } from "./events.js";
import { createHidden } from "./hidden.js";
import { createOutputAddress } from "./output_address.js";
import { createSettings } from "./settings.js";
import { createSources } from "./sources.js";
import { createStatus } from "./status.js";
import { createView } from "./view.js";
import { createWire } from "./wire.js";
import { createWords } from "./words.js";

export function start({ element, props, trigger }) {
  const studio = {
    element,
    trigger,
    find: (id) => element.querySelector("#" + id),
    word: createWords(props.words),
    events: createEvents(),
    say: (sentence) => studio.status.say(sentence),
    // A jump of the picture, as a scene cut is one: the past is of no use any more.
    cut() {
      studio.wire.reset();
      studio.wire.changed();
    },
  };
  studio.wire = createWire(studio);
  studio.settings = createSettings(studio, props.settings);
  studio.status = createStatus(studio);
  studio.hidden = createHidden(studio);
  studio.drawing = createDrawing(studio);
  studio.sources = createSources(studio);
  studio.view = createView(studio);
  createOutputAddress(studio);
  studio.find("reset_memory").onclick = () => studio.cut();
  studio.status.show();

  // What the page's own wiring and scripts may call.
  window.rearview = {
    settings: studio.settings.values,
    get acknowledged() {
      return studio.settings.acknowledged;
    },
    get applied() {
      return studio.settings.applied;
    },
    get last() {
      return studio.status.last;
    },
    get place() {
      return studio.status.place;
    },
    set: studio.settings.set,
    open: studio.drawing.openImage,
    // The same canvas once more, for a model that has changed.
    again: () => studio.wire.changed(),
    connect: studio.wire.connect,
  };
  if (window.rearviewToken) studio.wire.connect(window.rearviewToken);
}
