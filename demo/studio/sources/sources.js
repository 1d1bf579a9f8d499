// Where the frames come from: the drawing, or something live in its place. The drawing is never touched by that.
//
// Emits "source" {name}: "drawing", "camera", "screen" or "video".

import { drawCropped, SIDE } from "../shared/dom.js";
import { keep, recall } from "../shared/storage.js";
import { canShareScreens, openCamera, openScreen, openVideo } from "./open.js";
import { createPlayer } from "./player.js";

const OPENERS = { camera: openCamera, screen: openScreen, video: openVideo };
const BUTTONS = { drawing: "source_drawing", camera: "camera", screen: "source_screen", video: "source_video" };
const FRAME_MS = 33;
const KNOWN_PROBLEMS = {
  camera: ["insecure", "NotAllowedError", "NotFoundError", "OverconstrainedError", "NotReadableError"],
  screen: ["NotAllowedError", "NotReadableError"],
  video: [],
};

export function createSources(studio) {
  const { events, find, word } = studio;
  const player = createPlayer(studio);
  const devices = find("camera_device");
  let live = null;
  let asked = 0;
  let mirroring = recall("mirror", true);
  let drawingOnTop = false;
  let ticker = null;

  // Gives whether it is there; what is asked for meanwhile goes before a question that nobody has answered yet.
  async function start(name, choice) {
    asked += 1;
    const mine = asked;
    const isLate = () => mine !== asked;
    const before = name === "camera" && live?.name === "camera" ? live : null;
    const device = before?.track.getSettings().deviceId;
    // Many phones open one camera at a time.
    before?.release();
    try {
      return take(name, await OPENERS[name](find("stage"), choice), isLate());
    } catch (error) {
      if (isLate()) return false;
      if (before) await goBack(device, isLate);
      // A camera that was given back for what has not come either.
      if (live?.track?.readyState === "ended") stop();
      studio.say(problem(name, error.name));
      return false;
    }
  }

  // The camera from before, or the drawing.
  async function goBack(device, isLate) {
    try {
      take("camera", await openCamera(find("stage"), device), isLate());
    } catch {
      if (!isLate()) stop();
    }
  }

  function take(name, opened, late) {
    if (late) {
      opened.close();
      return false;
    }
    live?.close();
    live = { name, ...opened };
    const ended = live;
    if (live.track) live.track.onended = () => endedByItself(ended);
    else live.video.onerror = () => endedByItself(ended);
    studio.say("");
    listDevices();
    show();
    studio.drawing.setBackdrop(paint);
    studio.wire.reset();
    watch(live);
    return true;
  }

  // Who ends the sharing of a screen knows it.
  function endedByItself(ended) {
    if (live !== ended) return;
    stop();
    if (ended.name !== "screen") studio.say(word(`sources.${ended.name}_gone`));
  }

  function problem(name, error) {
    const known = KNOWN_PROBLEMS[name].includes(error);
    return known ? word(`sources.${name}_problems.${error}`) : word(`sources.${name}_problems.other`, { name: error });
  }

  function stop() {
    asked += 1;
    if (!live) return;
    live.close();
    live = null;
    show();
    studio.drawing.setBackdrop(null);
    studio.cut();
  }

  // A camera that looks at whoever draws; a notebook's does not say where it looks.
  function facesUser() {
    return live?.name === "camera" && live.track.getSettings().facingMode !== "environment";
  }

  function paint(context) {
    const { video } = live;
    if (!video.videoWidth) return;
    context.save();
    if (mirroring && facesUser()) {
      context.translate(SIDE, 0);
      context.scale(-1, 1);
    }
    drawCropped(context, video, video.videoWidth, video.videoHeight);
    context.restore();
  }

  function frame() {
    studio.drawing.compose();
    studio.wire.changed(true);
  }

  function watch(watched) {
    const { video } = watched;
    const next = () => {
      if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(onFrame);
      else setTimeout(onFrame, FRAME_MS);
    };
    const onFrame = () => {
      if (live !== watched) return;
      frame();
      next();
    };
    next();
    tick();
  }

  // A hidden page is told of no new frames. One that works all the same looks for itself.
  function tick() {
    const wanted = live !== null && studio.hidden.working;
    if (wanted && !ticker) {
      ticker = new Worker(new URL("./ticker.js", import.meta.url));
      ticker.onmessage = () => live && !live.video.paused && frame();
    } else if (!wanted && ticker) {
      ticker.terminate();
      ticker = null;
    }
  }

  async function listDevices() {
    if (live?.name !== "camera") return;
    const found = (await navigator.mediaDevices.enumerateDevices()).filter((each) => each.kind === "videoinput");
    const current = live?.track?.getSettings().deviceId;
    devices.replaceChildren(
      ...found.map(
        (each, at) =>
          new Option(each.label || word("sources.numbered", { number: at + 1 }), each.deviceId, false, each.deviceId === current),
      ),
    );
  }

  function show() {
    const name = live?.name ?? "drawing";
    for (const [each, id] of Object.entries(BUTTONS)) find(id).setAttribute("aria-pressed", each === name);
    find("camera").title = word(name === "camera" ? "sources.stop_camera" : "sources.start_camera");
    find("input").dataset.source = name;
    find("source_options").hidden = name === "drawing";
    devices.hidden = name !== "camera";
    find("mirror").hidden = !facesUser();
    find("mirror").setAttribute("aria-pressed", mirroring);
    // Where the drawing knows how to lie on something.
    find("draw_on_top").hidden = false;
    find("draw_on_top").setAttribute("aria-pressed", drawingOnTop);
    find("input").dataset.ink = drawingOnTop ? "on" : "off";
    player.show(name === "video" ? live.video : null);
    tick();
    events.emit("source", { name });
  }

  function toggle(name) {
    if (live?.name === name) stop();
    else if (name === "video") find("video_file").click();
    else start(name);
  }

  find("source_drawing").onclick = stop;
  find("camera").onclick = () => toggle("camera");
  find("source_screen").onclick = () => toggle("screen");
  find("source_screen").hidden = !canShareScreens();
  find("source_video").onclick = () => toggle("video");
  find("source_picture").onclick = () => find("open_image").click();
  find("video_file").onchange = (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (file) start("video", file);
  };
  devices.onchange = () => start("camera", devices.value);
  find("mirror").onclick = () => {
    mirroring = !mirroring;
    keep("mirror", mirroring);
    find("mirror").setAttribute("aria-pressed", mirroring);
    studio.drawing.compose();
    studio.cut();
  };
  find("draw_on_top").onclick = () => {
    drawingOnTop = !drawingOnTop;
    studio.drawing.showInk(drawingOnTop);
    find("draw_on_top").setAttribute("aria-pressed", drawingOnTop);
    find("input").dataset.ink = drawingOnTop ? "on" : "off";
    studio.wire.changed();
  };
  events.on("unseen", tick);
  studio.dropping.register(
    (file) => file.type.startsWith("video/"),
    (file) => start("video", file),
  );
  studio.keys.add({ keys: "v", word: "sources.camera_key", act: () => toggle("camera") });

  return {
    start,
    stop,
    get name() {
      return live?.name ?? "drawing";
    },
  };
}
