// The studio: its parts, in the order in which they lean on each other.
//
// Each part is made once, by its `create…(studio)`, and gives the few functions that others call. `studio` carries:
//   element, find(id), trigger(event)   the component on the page, an element of it, an event for Gradio
//   word(path, values), say(sentence)   a text of demo/words/en.json; the sentence under the pictures ("" takes it away)
//   events.on(name, f), .emit(name, x)  what parts tell each other: see wire.js and settings.js for who emits what
//   keys.add({ keys, word, act })       a key of the page and its sentence (keys.js)
//   dropping.register(accepts, open)    who opens a file that is dropped or pasted (dropping.js)
//   wire, settings, drawing, camera, view, status   the parts
// A part that stands alone goes into a file of its own, with its markup and style in files of the same name.

import { createCamera } from "./camera.js";
import { createDrawing } from "./drawing.js";
import { createDropping } from "./dropping.js";
import { createEvents } from "./events.js";
import { createKeeping } from "./keeping.js";
import { createKeys } from "./keys.js";
import { createRecorder } from "./recorder.js";
import { createReplaying } from "./replaying.js";
import { createSettings } from "./settings.js";
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
  studio.keys = createKeys(studio);
  studio.drawing = createDrawing(studio);
  studio.dropping = createDropping(studio);
  studio.camera = createCamera(studio);
  studio.view = createView(studio);
  studio.find("reset_memory").onclick = () => studio.cut();
  studio.status.show();
  createKeeping(studio);
  studio.recorder = createRecorder(studio);
  studio.replaying = createReplaying(studio);

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
    open: studio.drawing.openExample,
    // An example, drawn stroke by stroke: a recording in base64. The page has its words already.
    replay: (text) => studio.replaying.open(Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0)).buffer, false),
    drawing: studio.drawing,
    dropping: studio.dropping,
    keys: studio.keys,
    on: studio.events.on,
    // The same canvas once more, for a model that has changed.
    again: () => studio.wire.changed(),
    connect: studio.wire.connect,
  };
  if (window.rearviewToken) studio.wire.connect(window.rearviewToken);
}
