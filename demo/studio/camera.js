// The camera as the picture under way, in place of the drawing.

import { drawCropped, SIDE } from "./dom.js";

export function createCamera(studio) {
  const { find, word } = studio;
  const video = find("camera_video");
  const devices = find("camera_device");
  let stream = null;
  let starting = false;

  async function start(device) {
    if (starting) return;
    if (!navigator.mediaDevices?.getUserMedia) {
      studio.say(word("sources.insecure"));
      return;
    }
    starting = true;
    try {
      const wanted = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
      if (device) wanted.deviceId = { exact: device };
      const opened = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
      close();
      stream = opened;
      stream.getVideoTracks()[0].onended = stop;
      video.srcObject = stream;
      await video.play();
    } catch (error) {
      stop();
      studio.say(sentence(error.name));
      return;
    } finally {
      starting = false;
    }
    studio.say("");
    show(true);
    await listDevices();
    studio.drawing.setBackdrop(paint);
    studio.wire.reset();
    watch();
  }

  function sentence(name) {
    const known = ["NotAllowedError", "NotFoundError", "OverconstrainedError", "NotReadableError"];
    return known.includes(name) ? word(`sources.${name}`) : word("sources.failed", { name });
  }

  function paint(context) {
    context.save();
    context.translate(SIDE, 0);
    context.scale(-1, 1);
    drawCropped(context, video, video.videoWidth, video.videoHeight);
    context.restore();
  }

  function watch() {
    const watched = stream;
    const next = () => {
      if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(onFrame);
      else requestAnimationFrame(onFrame);
    };
    const onFrame = () => {
      if (!watched || stream !== watched) return;
      studio.drawing.compose();
      studio.wire.changed(true);
      next();
    };
    next();
  }

  async function listDevices() {
    const found = (await navigator.mediaDevices.enumerateDevices()).filter((each) => each.kind === "videoinput");
    const current = stream?.getVideoTracks()[0]?.getSettings().deviceId;
    devices.replaceChildren(
      ...found.map(
        (each, at) =>
          new Option(each.label || word("sources.numbered", { number: at + 1 }), each.deviceId, false, each.deviceId === current),
      ),
    );
    devices.hidden = found.length === 0;
  }

  function close() {
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = null;
  }

  function stop() {
    const ran = stream !== null;
    close();
    video.srcObject = null;
    show(false);
    if (!ran) return;
    studio.drawing.setBackdrop(null);
    studio.cut();
  }

  function show(on) {
    const button = find("camera");
    button.setAttribute("aria-pressed", on);
    button.title = word(on ? "sources.stop_camera" : "sources.start_camera");
    find("input").dataset.camera = on ? "on" : "off";
    if (!on) devices.hidden = true;
  }

  find("camera").onclick = () => (stream ? stop() : start());
  devices.onchange = () => start(devices.value);

  return { start, stop };
}
