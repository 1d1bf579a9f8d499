// Plays a recording: its frames as they were sent, or its strokes before the visitor's eyes.

import { durationOf } from "../ink/operations.js";
import { drawCropped, setText } from "../shared/dom.js";

const FORMAT = "rearview-recording";
const VERSION = 1;
const WAIT_MS = 15;
const AT_END_MS = 60;
const SPEEDS = { speed_1: 1, speed_2: 2, speed_4: 4, speed_all: Infinity };

const base64 = (bytes) => btoa(Array.from(bytes, (one) => String.fromCharCode(one)).join(""));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// What a file holds: { title, settings, events, files }, or null where it is no recording that this page can play.
async function opened(buffer, { unzipped }) {
  try {
    const files = await unzipped(buffer);
    const contents = JSON.parse(new TextDecoder().decode(files.get("recording.json")));
    if (contents.format !== FORMAT || contents.version > VERSION || !Array.isArray(contents.events)) return null;
    return { ...contents, files };
  } catch {
    // A stranger's file may be broken in any way; the visitor gets one sentence for all of them.
    return null;
  }
}

const typeOf = (name) => (name.endsWith(".png") ? "image/png" : name.endsWith(".webp") ? "image/webp" : "image/jpeg");

export function createReplaying(studio) {
  const { find, word } = studio;
  const bar = find("replay");
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
  let run = null;

  function show(share) {
    bar.hidden = !run;
    if (!run) return;
    setText(find("replay_title"), run.recording.title || word("recording.untitled"));
    find("replay_progress").value = share ?? 0;
    for (const [name, speed] of Object.entries(SPEEDS)) find(name).setAttribute("aria-pressed", run.speed === speed);
  }

  // Waits until an event's time has come, at whatever speed is chosen meanwhile.
  async function until(t) {
    while (run && !run.ended && run.clock < t && run.speed !== Infinity) {
      const before = performance.now();
      await pause(Math.min(WAIT_MS, (t - run.clock) / run.speed));
      run.clock += (performance.now() - before) * run.speed;
    }
    if (run) run.clock = Math.max(run.clock, t);
  }

  const blobOf = (name) => new Blob([run.recording.files.get(name)], { type: typeOf(name) });

  async function draw(op) {
    const operation = op.image ? { ...op, image: blobOf(op.image) } : op;
    const { speed, hurry } = run;
    if (speed === Infinity) await studio.drawing.apply(operation);
    else {
      run.clock += durationOf(operation);
      await studio.drawing.play(operation, { speed, signal: hurry.signal });
    }
  }

  // Frames go as they are, and none is left out.
  async function send(name) {
    const bytes = run.recording.files.get(name);
    const bitmap = await createImageBitmap(blobOf(name));
    studio.drawing.setBackdrop((context) => drawCropped(context, bitmap, bitmap.width, bitmap.height));
    await studio.wire.sendPicture(bytes, () => run?.ended);
  }

  // What is said among frames waits until none is under way that it would overtake.
  async function tell(event, framed) {
    if (framed) await studio.wire.rest(() => run?.ended);
    if (event.type === "reset") studio.wire.reset();
    else if (event.type === "like") studio.recorder.like(event.image && base64(run.recording.files.get(event.image)));
    else studio.wire.say({ type: "set", settings: event.settings });
  }

  async function playEvents(recording, framed, toldWords) {
    const skipped = framed ? "draw" : "frame";
    const events = recording.events.filter(({ type }) => type !== skipped && type !== "rest");
    const end = events.at(-1)?.t || 1;
    if (toldWords) await tell({ type: "set", settings: recording.settings ?? {} }, framed);
    await tell({ type: "reset" }, framed);
    for (const event of events) {
      await until(event.t);
      if (run.ended) return;
      show(event.t / end);
      if (event.type === "draw") await draw(event.op);
      else if (event.type === "frame") await send(event.image);
      else if (toldWords || event.type === "reset") await tell(event, framed);
    }
  }

  // `words` of the recording are told to the engine meanwhile, unless the page has them already.
  async function play(recording, words = true) {
    await stop();
    const framed = recording.events.some(({ type }) => type === "frame");
    studio.sources.stop();
    run = { recording, speed: calm.matches && !framed ? Infinity : 1, clock: 0, ended: false, hurry: new AbortController() };
    let finish;
    run.over = new Promise((resolve) => (finish = resolve));
    studio.say("");
    show();
    try {
      if (framed) studio.wire.hold(true);
      else studio.drawing.begin();
      await playEvents(recording, framed, words);
      show(1);
      // Its picture stays until the visitor has seen enough of it; on an example they go on drawing.
      while (words && !run.ended) await pause(AT_END_MS);
    } catch (problem) {
      studio.say(word("recording.broken", { reason: problem.message }));
    } finally {
      if (framed) {
        studio.drawing.setBackdrop(null);
        studio.wire.hold(false);
      }
      if (words) studio.wire.say({ type: "set", settings: studio.settings.values });
      const liked = recording.events.some(({ type }) => type === "like");
      run = null;
      show();
      if (liked) {
        studio.recorder.like("");
        studio.events.emit("replayed");
      }
      finish();
    }
  }

  async function stop() {
    if (!run) return;
    const { over, hurry } = run;
    run.ended = true;
    hurry.abort();
    await over;
  }

  async function open(source, words) {
    let zip;
    try {
      zip = await import("./zip.js");
    } catch {
      studio.say(word("wire.no_answer"));
      return false;
    }
    const recording = await opened(source instanceof Blob ? await source.arrayBuffer() : source, zip);
    if (recording) await play(recording, words);
    else studio.say(word("recording.not_one"));
    return recording !== null;
  }

  for (const [name, speed] of Object.entries(SPEEDS)) {
    find(name).onclick = () => {
      if (!run) return;
      run.speed = speed;
      if (speed === Infinity) run.hurry.abort();
      show(find("replay_progress").value);
    };
  }
  find("replay_stop").onclick = stop;
  return { open, stop };
}
