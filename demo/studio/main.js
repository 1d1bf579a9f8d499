// The studio. Start here, then in each room with the script that stands first:
//   wire/       wire.js: to the engine and back: what is sent when, as which bytes, and what comes
//   settings/   settings.js: what the next frame is painted with; prompts, styles, the seed
//   ink/        operations.js: a drawing as data and layers; knows nothing of the page
//   drawing/    drawing.js: the drawing under a hand: tools, zoom, rows of layers, what stays for the next visit
//   sources/    sources.js: what is there in place of a drawing: a camera, a screen, a video
//   view/       view.js: the picture beside the drawing, over it, on the whole screen, in a small window
//   status/     status.js: the line under the pictures, how steady they are, what the bank holds
//   output/     address.js: the picture at an address of its own, the link to it, and the page there
//   keep/       capture.js, presets.js: what can be taken away: pictures, videos, GIFs, settings
//   recording/  recorder.js, replays.js: a visit in a file, and playing it again
//   page/       keys.js, dropping.js, help.js: the rest of the page, and how Gradio's parts look
//   shared/     small helpers and looks for all rooms; vendor/ is code of others
// Imports go down alone: from here to the rooms, to ink/, to shared/ and vendor/. Rooms reach each other through `studio`.
//
// The parts, in the order in which they lean on each other.
//
// Each part is made once, by its `create…(studio)`, and gives the few functions that others call. `studio` carries:
//   element, find(id), trigger(event)   the component on the page, an element of it, an event for Gradio
//   word(path, values), say(sentence)   a text of demo/words/en.json; the sentence under the pictures ("" takes it away)
//   tell(sentence)                      a word on what has just been done, which goes by itself
//   events.on(name, f), .emit(name, x)  what parts tell each other: see wire/ and settings/ for who emits what
//   keys.add({ keys, word, act })       a key of the page and its sentence (page/keys.js)
//   dropping.register(accepts, open)    who opens a file that is dropped or pasted (page/dropping.js)
//   wire, settings, hidden, status, drawing, sources, view, looks, presets   the parts
// A part that stands alone goes into a file of its own, with its markup and style beside it.

import { createDrawing } from "./drawing/drawing.js";
import { createKeeping } from "./drawing/keeping.js";
import { createCapture } from "./keep/capture.js";
import { createPresets } from "./keep/presets.js";
import { createOutputAddress } from "./output/address.js";
import { createDrawers } from "./page/drawers.js";
import { createDropping } from "./page/dropping.js";
import { createHelp } from "./page/help.js";
import { createKeys } from "./page/keys.js";
import { createToast } from "./page/toast.js";
import { createRecorder } from "./recording/recorder.js";
import { createReplays } from "./recording/replays.js";
import { createLooks } from "./settings/looks.js";
import { createSettings } from "./settings/settings.js";
import { createEvents } from "./shared/events.js";
import { createWords } from "./shared/words.js";
import { createSources } from "./sources/sources.js";
import { createStatus } from "./status/status.js";
import { createView } from "./view/view.js";
import { createHidden } from "./wire/hidden.js";
import { createWire } from "./wire/wire.js";

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
  studio.keys = createKeys(studio);
  studio.drawing = createDrawing(studio);
  studio.dropping = createDropping(studio);
  studio.sources = createSources(studio);
  studio.view = createView(studio);
  studio.tell = createToast(studio);
  studio.looks = createLooks(studio, props.facts, props.words.surprises);
  studio.presets = createPresets(studio, props.facts);
  createCapture(studio, props.facts);
  createOutputAddress(studio);
  studio.find("reset_memory").onclick = () => studio.cut();
  studio.status.show();
  studio.kept = createKeeping(studio);
  createHelp(studio);
  createDrawers(studio);
  studio.recorder = createRecorder(studio);
  studio.replays = createReplays(studio);

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
    // An example, drawn stroke by stroke: a recording in base64. The page has its words already.
    replay: (text) => studio.replays.open(Uint8Array.from(atob(text), (one) => one.charCodeAt(0)).buffer, false),
    drawing: studio.drawing,
    dropping: studio.dropping,
    keys: studio.keys,
    on: studio.events.on,
    shown: studio.settings.shown,
    submitted: studio.looks.submitted,
    remember: studio.looks.remember,
    // The same canvas once more, for a model that has changed.
    again: studio.wire.changed,
    connect: studio.wire.connect,
    say: studio.wire.say,
    like: studio.recorder.like,
  };
  studio.presets.openLink();
  if (window.rearviewToken) studio.wire.connect(window.rearviewToken);
  return studio;
}
