// The live view: drawing, camera, and the wire to the engine. Gradio runs this with `element` and `props` in scope.

const SIDE = 512;
const HISTORY_DEPTH = 80;
const SETTLE_FRAMES = 8;
const FRAMES_BESIDE = 1;
const JPEG_QUALITY = 0.85;
const WORDS_DEBOUNCE_MS = 120;
const FILL_TOLERANCE = 40;
const FRAME_HEADER_BYTES = 16;
const PICTURE_HEADER_BYTES = 32;
const WIRE_VERSION = 2;
const KIND_FRAME = 1;
const KIND_BLURRED = 3;
const SOCKET_TRIES_BEFORE_POST = 2;
const RENEWALS_BEFORE_RELOAD = 3;
const POST_PING_MS = 20000;
const POST_ASK_MS = 2000;
const CLOSE_AGAIN = 1012;
const CLOSE_TOKEN = 4401;
const CLOSE_REPLACED = 4409;
const CLOSE_OVER = 4410;
const CLOSE_FLOOD = 4420;
const CLOSE_FULL = 4429;

const find = (id) => element.querySelector("#" + id);
const canvas = find("canvas");
const picture = find("picture");
const status = find("status");
const left = element.querySelector(".rv-left");

function surface(side) {
  const made = document.createElement("canvas");
  made.width = made.height = side;
  return made.getContext("2d", { willReadFrequently: true });
}

// ---------------------------------------------------------------- the drawing

const shown = canvas.getContext("2d", { willReadFrequently: true });
const ink = surface(SIDE);
const committed = surface(SIDE);
const undone = [];
const done = [];
let paper = "#ffffff";
let tool = "brush";
let colour = "#1d1d1f";
let size = 14;
let stroke = null;

const WHOLE = { x: 0, y: 0, width: SIDE, height: SIDE };

function compose() {
  shown.fillStyle = paper;
  shown.fillRect(0, 0, SIDE, SIDE);
  shown.drawImage(ink.canvas, 0, 0);
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
  if (stroke || camera.stream || from.length === 0) return;
  to.push(putBack(from.pop()));
  showHistory();
  compose();
  cut();
}

const undo = () => step(done, undone);
const redo = () => step(undone, done);

function showHistory() {
  find("undo").disabled = done.length === 0;
  find("redo").disabled = undone.length === 0;
}

function clear() {
  if (camera.stream) return;
  ink.clearRect(0, 0, SIDE, SIDE);
  commit(WHOLE);
  cut();
}

// A jump of the picture, as a scene cut is one: the past is of no use any more.
function cut() {
  resetMemory();
  changed();
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
  changed();
}

function rgbOf(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
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
  changed();
}

canvas.addEventListener("pointerdown", (event) => {
  canvas.focus({ preventScroll: true });
  if (stroke || camera.stream || event.button !== 0) return;
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
  changed(true);
});

canvas.addEventListener("pointermove", (event) => {
  showCursor(event);
  if (!stroke || event.pointerId !== stroke.pointer) return;
  const events = event.getCoalescedEvents?.() ?? [];
  for (const each of events.length ? events : [event]) drawTo(pointOf(each));
  compose();
  changed(true);
});

for (const name of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(name, (event) => {
    if (stroke && event.pointerId === stroke.pointer) endStroke();
  });
}

const cursor = element.querySelector(".rv-cursor");

function showCursor(event) {
  const box = canvas.getBoundingClientRect();
  const across = (size * box.width) / SIDE;
  cursor.style.opacity = tool === "fill" || camera.stream ? 0 : 1;
  cursor.style.width = cursor.style.height = across + "px";
  const x = event.clientX - box.left - across / 2;
  const y = event.clientY - box.top - across / 2;
  cursor.style.transform = `translate(${x}px, ${y}px)`;
}

canvas.addEventListener("pointerleave", () => (cursor.style.opacity = 0));

function setTool(name) {
  tool = name;
  left.dataset.tool = name;
  for (const each of ["brush", "eraser", "fill"]) find(each).setAttribute("aria-pressed", each === name);
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
    say("This file cannot be opened as an image. Choose a PNG, JPEG or WebP file.");
    return;
  }
  if (camera.stream) stopCamera();
  ink.clearRect(0, 0, SIDE, SIDE);
  drawCropped(ink, image, image.naturalWidth, image.naturalHeight);
  say("");
  commit(WHOLE);
  cut();
}

function drawCropped(context, source, width, height) {
  const side = Math.min(width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(source, (width - side) / 2, (height - side) / 2, side, side, 0, 0, SIDE, SIDE);
}

for (const name of ["brush", "eraser", "fill"]) find(name).onclick = () => setTool(name);
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
  changed();
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

// ---------------------------------------------------------------- the camera

const video = find("camera_video");
const devices = find("camera_device");
const camera = { stream: null, starting: false };

const CAMERA_SENTENCES = {
  NotAllowedError:
    "The camera is not allowed on this page. Click the camera sign in the address bar, allow it, and press the button again.",
  NotFoundError: "No camera was found. Connect one and press the button again, or draw instead.",
  OverconstrainedError: "This camera is not there any more. Choose another one.",
  NotReadableError: "The camera is in use by another program. Close that program and press the button again.",
};

async function startCamera(device) {
  if (camera.starting) return;
  if (!navigator.mediaDevices?.getUserMedia) {
    say("Browsers give the camera only to secure pages. Open this page at https:// or at http://localhost.");
    return;
  }
  camera.starting = true;
  try {
    const wanted = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
    if (device) wanted.deviceId = { exact: device };
    const stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
    closeStream();
    camera.stream = stream;
    stream.getVideoTracks()[0].onended = stopCamera;
    video.srcObject = stream;
    await video.play();
  } catch (error) {
    stopCamera();
    say(CAMERA_SENTENCES[error.name] ?? `The camera did not start (${error.name}). Press the button again.`);
    return;
  } finally {
    camera.starting = false;
  }
  say("");
  showCamera(true);
  await listDevices();
  resetMemory();
  watchVideo();
}

function watchVideo() {
  const stream = camera.stream;
  const next = () => {
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(onFrame);
    else requestAnimationFrame(onFrame);
  };
  const onFrame = () => {
    if (!stream || camera.stream !== stream) return;
    shown.save();
    shown.translate(SIDE, 0);
    shown.scale(-1, 1);
    drawCropped(shown, video, video.videoWidth, video.videoHeight);
    shown.restore();
    changed(true);
    next();
  };
  next();
}

async function listDevices() {
  const found = (await navigator.mediaDevices.enumerateDevices()).filter((each) => each.kind === "videoinput");
  const current = camera.stream?.getVideoTracks()[0]?.getSettings().deviceId;
  devices.replaceChildren(
    ...found.map((each, at) => new Option(each.label || `Camera ${at + 1}`, each.deviceId, false, each.deviceId === current)),
  );
  devices.hidden = found.length === 0;
}

function closeStream() {
  for (const track of camera.stream?.getTracks() ?? []) track.stop();
  camera.stream = null;
}

function stopCamera() {
  const ran = camera.stream !== null;
  closeStream();
  video.srcObject = null;
  showCamera(false);
  if (ran) {
    compose();
    cut();
  }
}

function showCamera(on) {
  const button = find("camera");
  button.setAttribute("aria-pressed", on);
  button.title = on ? "Stop the camera" : "Start the camera";
  left.dataset.camera = on ? "on" : "off";
  if (!on) devices.hidden = true;
}

find("camera").onclick = () => (camera.stream ? stopCamera() : startCamera());
devices.onchange = () => startCamera(devices.value);

// ---------------------------------------------------------------- the status line

const pace = { times: [], latencies: [], frames: 0, fill: 0 };
let hello = null;
let paused = false;
let connection = "connecting";

// Not set again while it stands: a screen reader would read it again.
function say(sentence) {
  const text = sentence.charAt(0).toUpperCase() + sentence.slice(1);
  const place = find("notice");
  if (place.textContent !== text) place.textContent = text;
}

function fact(name, text, title = "") {
  const place = status.querySelector(`[data-fact="${name}"]`);
  if (place.textContent !== text) place.textContent = text;
  if (place.title !== title) place.title = title;
}

function modelFact() {
  return hello ? [hello.model_title, hello.model_reason].filter(Boolean).join(": ") : "";
}

function median(values) {
  return values.length ? [...values].sort((a, b) => a - b)[values.length >> 1] : 0;
}

// Counts gaps between pictures of one run only, so that a rest between two strokes is no slow frame.
function framesPerSecond() {
  const gaps = pace.times.slice(1).map((time, at) => time - pace.times[at]).filter((gap) => gap < 1000);
  const total = gaps.reduce((sum, gap) => sum + gap, 0);
  return total > 0 ? (1000 * gaps.length) / total : 0;
}

function showStatus() {
  const fps = framesPerSecond();
  const latency = median(pace.latencies);
  const resting = performance.now() - (pace.times.at(-1) ?? -Infinity) > 400 && wire.underWay === 0;
  const state = connection === "open" ? (resting ? "idle" : "busy") : connection === "queued" ? "queued" : "away";
  status.dataset.state = state;
  status.dataset.fps = fps.toFixed(1);
  status.dataset.latencyMs = latency.toFixed(0);
  status.dataset.frames = pace.frames;
  status.dataset.bankFill = pace.fill.toFixed(3);
  status.style.setProperty("--bank", pace.fill);
  const away = { connecting: "connecting", replaced: "open elsewhere", over: "visit over" }[connection] ?? "reconnecting";
  const words = { idle: "idle", busy: "painting", queued: "waiting in line", away };
  fact("state", paused && connection === "open" ? "paused" : words[state]);
  fact("fps", pace.frames ? `${fps.toFixed(1)} frames/s` : "");
  fact("latency", latency ? `${latency.toFixed(0)} ms from stroke to picture` : "");
  const parts = hello ? [hello.model, hello.control, hello.memory, hello.kernel] : [];
  fact("engine", parts.filter(Boolean).join(" · "), modelFact());
  fact("bank", `bank ${Math.round(pace.fill * 100)} %`);
}

// ---------------------------------------------------------------- the line in front of the door

function duration(seconds) {
  if (seconds === null) return "Nobody can tell yet how long that takes.";
  if (seconds < 60) return `It should take about ${Math.max(5, Math.ceil(seconds / 5) * 5)} seconds.`;
  const minutes = Math.round(seconds / 60);
  return `It should take about ${minutes} minute${minutes === 1 ? "" : "s"}.`;
}

function showPlace(news) {
  connection = "queued";
  rearview.place = news;
  find("line").hidden = false;
  find("place").textContent = `You are number ${news.place} of ${news.of} in line`;
  find("expected").textContent = `All places are taken. ${duration(news.seconds)} The picture starts by itself.`;
  say("");
}

function hidePlace() {
  rearview.place = null;
  find("line").hidden = true;
}

function endVisit(sentence) {
  connection = "over";
  say(sentence);
  find("again").hidden = false;
}

find("again").onclick = () => {
  find("again").hidden = true;
  connection = "connecting";
  say("");
  connect();
  showStatus();
};

// ---------------------------------------------------------------- the wire

const wire = {
  transport: null,
  underWay: 0,
  sequence: 0,
  newest: 0,
  encoding: false,
  changedAt: 0,
  settle: 0,
  tries: 0,
  renewals: 0,
  socketTries: 0,
  socketWorked: false,
  token: null,
  timer: null,
};
const small = surface(256);

// Marks the canvas as changed; `continuing` changes are counted from the first that was not sent yet.
function changed(continuing = false) {
  if (!wire.changedAt || !continuing) wire.changedAt = performance.now();
  wire.settle = SETTLE_FRAMES;
  pump();
}

function resetMemory() {
  wire.transport?.say({ type: "reset" });
}

// As many as the engine takes of one visitor, and one that is on its way meanwhile.
function framesAtOnce() {
  const { pipelined, steps } = rearview.settings;
  return (pipelined === "on" ? steps : 1) + FRAMES_BESIDE;
}

async function pump() {
  if (connection !== "open" || paused || wire.encoding || wire.underWay >= framesAtOnce()) return;
  if (!wire.changedAt && wire.settle <= 0) return;
  if (!wire.changedAt && wire.underWay > 0) return;
  wire.encoding = true;
  const transport = wire.transport;
  const started = wire.changedAt || performance.now();
  if (!wire.changedAt) wire.settle -= 1;
  wire.changedAt = 0;
  small.imageSmoothingQuality = "high";
  small.drawImage(canvas, 0, 0, small.canvas.width, small.canvas.height);
  const blob = await new Promise((resolve) => small.canvas.toBlob(resolve, "image/jpeg", JPEG_QUALITY));
  const jpeg = new Uint8Array(await blob.arrayBuffer());
  wire.encoding = false;
  if (transport !== wire.transport) return;
  const message = new Uint8Array(FRAME_HEADER_BYTES + jpeg.length);
  const header = new DataView(message.buffer);
  header.setUint8(0, WIRE_VERSION);
  header.setUint8(1, KIND_FRAME);
  header.setUint32(4, ++wire.sequence, true);
  header.setFloat64(8, started, true);
  message.set(jpeg, FRAME_HEADER_BYTES);
  wire.underWay += 1;
  transport.send(message);
  pump();
}

function settled() {
  wire.underWay = Math.max(0, wire.underWay - 1);
  pump();
}

async function onPicture(buffer) {
  const header = new DataView(buffer);
  const blurred = header.getUint8(1) === KIND_BLURRED;
  const revision = header.getUint16(2, true);
  const sequence = header.getUint32(4, true);
  const started = header.getFloat64(8, true);
  const engineMs = header.getFloat32(16, true);
  const fill = header.getFloat32(20, true);
  const frame = header.getUint32(24, true);
  const settling = wire.settle < SETTLE_FRAMES && !wire.changedAt;
  settled();
  const bitmap = await createImageBitmap(new Blob([new Uint8Array(buffer, PICTURE_HEADER_BYTES)]));
  if (sequence > wire.newest) {
    wire.newest = sequence;
    if (picture.width !== bitmap.width || picture.height !== bitmap.height) {
      picture.width = bitmap.width;
      picture.height = bitmap.height;
    }
    picture.getContext("2d").drawImage(bitmap, 0, 0);
    const now = performance.now();
    pace.times = [...pace.times.slice(-30), now];
    if (!settling || !pace.latencies.length) pace.latencies = [...pace.latencies.slice(-15), now - started];
    pace.frames += 1;
    pace.fill = fill;
    if (blurred) sayBlurred();
    else if (refused === "frame" || refused === "blurred") withdraw();
    rearview.applied = revisions.get(revision) ?? rearview.applied;
    rearview.last = { sequence, frame, engineMs, fill, latencyMs: now - started };
    showStatus();
  }
  bitmap.close();
}

function sayBlurred() {
  if (refused === "setting") return;
  refused = "blurred";
  say("The safety checker flagged this picture, so it is shown blurred. Change your drawing or your words.");
}

// Says beside each setting that does not act now why it does not.
function showResting(sentences) {
  for (const name of Object.keys(rearview.settings)) {
    const place = document.getElementById(name);
    if (!place) continue;
    if (name in sentences) place.dataset.resting = sentences[name];
    else delete place.dataset.resting;
  }
}

function onNews(news) {
  if (news.type === "hello") {
    hello = news;
    small.canvas.width = small.canvas.height = news.size;
  } else if (news.type === "applied") {
    revisions.set(news.revision % 65536, news.settings);
    rearview.acknowledged = news.settings;
    showResting(news.resting);
    for (const old of [...revisions.keys()].slice(0, -50)) revisions.delete(old);
    if (refused === "setting") withdraw();
  } else if (news.type === "reset") {
    pace.fill = 0;
  } else if (news.type === "again") {
    changed();
  } else if (news.type === "error") {
    refused = news.setting ? "setting" : "frame";
    say(news.message);
    if (news.sequence !== undefined) settled();
  } else if (news.type === "dropped") {
    settled();
  } else if (news.type === "queue") {
    showPlace(news);
  } else if (news.type === "notice") {
    refused = null;
    say(news.message);
  }
  showStatus();
}

// What the sentence that stands there is about; it goes when such a thing succeeds again.
let refused = null;

function withdraw() {
  refused = null;
  say("");
}

function opened(transport) {
  wire.transport = transport;
  wire.underWay = 0;
  wire.tries = wire.renewals = wire.socketTries = 0;
  revisions.clear();
  connection = "open";
  hidePlace();
  say("");
  transport.say({ type: "set", settings: rearview.settings });
  changed();
  showStatus();
}

function lost(sentence) {
  wire.transport = null;
  wire.underWay = 0;
  connection = "lost";
  const wait = Math.min(8000, 400 * 2 ** wire.tries++) * (0.8 + 0.4 * Math.random());
  say(sentence || "The server does not answer. This page connects again as soon as it is back.");
  clearTimeout(wire.timer);
  wire.timer = setTimeout(connect, wait);
  showStatus();
}

// A server that asks for a name and a password gives a token only after a new login.
function renewToken() {
  wire.renewals += 1;
  const stranger = wire.renewals > RENEWALS_BEFORE_RELOAD;
  say(
    stranger
      ? "The server has started again and does not know this page any more. Save your picture and reload the page."
      : "The server has started again. This page is connecting to it.",
  );
  if (!stranger) trigger("renew");
  clearTimeout(wire.timer);
  wire.timer = setTimeout(connect, Math.min(8000, 1000 * 2 ** wire.tries++));
}

function connect() {
  clearTimeout(wire.timer);
  if (!element.isConnected || wire.token === null || ["open", "queued", "replaced", "over"].includes(connection)) return;
  const useSocket = wire.socketWorked || wire.socketTries < SOCKET_TRIES_BEFORE_POST;
  if (useSocket) openSocket();
  else openPost();
}

function openSocket() {
  const address = new URL("rearview/live", pageAddress());
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  const transport = {
    say: (news) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(news)),
    leave: () => transport.say({ type: "bye" }),
    send: (message) => socket.readyState === WebSocket.OPEN && socket.send(message),
  };
  let greeted = false;
  socket.binaryType = "arraybuffer";
  socket.onopen = () => socket.send(JSON.stringify({ token: wire.token }));
  socket.onmessage = (event) => {
    if (typeof event.data !== "string") {
      onPicture(event.data);
      return;
    }
    const news = JSON.parse(event.data);
    onNews(news);
    if (news.type === "hello" && !greeted) {
      greeted = wire.socketWorked = true;
      opened(transport);
    }
  };
  socket.onclose = (event) => {
    if (greeted && wire.transport !== transport) return;
    if (event.code === 1006 && !greeted && connection !== "queued") wire.socketTries += 1;
    onClose(event.code, event.reason);
  };
}

function onClose(code, reason) {
  wire.transport = null;
  hidePlace();
  if (code === CLOSE_TOKEN) {
    connection = "lost";
    renewToken();
  } else if (code === CLOSE_REPLACED) {
    connection = "replaced";
    say(reason);
  } else if (code === CLOSE_OVER) {
    endVisit(reason);
  } else {
    lost([CLOSE_AGAIN, CLOSE_FLOOD, CLOSE_FULL].includes(code) ? reason : "");
  }
  showStatus();
}

// The same messages, one a request, for hosts that let no WebSocket through.
async function openPost() {
  const address = new URL("gradio_api/rearview/frame", pageAddress());
  const ask = async (body, type, leaving = false) => {
    const headers = { "content-type": type, "x-rearview-token": wire.token };
    const answer = await fetch(address, { method: "POST", headers, body, keepalive: leaving });
    if (answer.status === 401) throw { code: CLOSE_TOKEN };
    if (!answer.ok && answer.status !== 413) {
      const news = await answer.json();
      const code = { 410: news.type === "over" ? CLOSE_OVER : 410, 429: CLOSE_FULL, 503: CLOSE_AGAIN }[answer.status];
      throw { code: code ?? answer.status, reason: news.message, queue: news.type === "queue" ? news : null };
    }
    if (answer.headers.get("content-type")?.startsWith("application/octet-stream")) onPicture(await answer.arrayBuffer());
    else for (const news of [await answer.json()].flat()) onNews(news);
  };
  let queue = Promise.resolve();
  const fail = (problem) => {
    if (wire.transport !== transport) return;
    clearInterval(ping);
    onClose(problem.code ?? 1006, problem.reason ?? "");
  };
  const inLine = (news) => {
    clearInterval(ping);
    wire.transport = null;
    showPlace(news);
    showStatus();
    clearTimeout(wire.timer);
    wire.timer = setTimeout(openPost, POST_ASK_MS);
  };
  const transport = {
    say: (news) => (queue = queue.then(() => ask(JSON.stringify(news), "application/json")).catch(fail)),
    leave: () => ask(JSON.stringify({ type: "bye" }), "application/json", true).catch(() => {}),
    send: (message) => queue.then(() => ask(message, "application/octet-stream")).catch(fail),
  };
  const ping = setInterval(() => transport.say({ type: "ping" }), POST_PING_MS);
  wire.transport = transport;
  try {
    await ask(JSON.stringify({ type: "hello" }), "application/json");
  } catch (problem) {
    if (problem.queue) {
      inLine(problem.queue);
      return;
    }
    wire.socketTries = 0;
    fail(problem);
    return;
  }
  opened(transport);
}

function pageAddress() {
  const page = new URL(window.location.href);
  page.search = page.hash = "";
  if (!page.pathname.endsWith("/")) page.pathname += "/";
  return page;
}

find("pause").onclick = () => {
  paused = !paused;
  find("pause").setAttribute("aria-pressed", paused);
  find("pause").title = paused ? "Go on" : "Pause the live picture";
  if (!paused) changed();
  showStatus();
};

find("reset_memory").onclick = () => cut();

find("save").onclick = () =>
  picture.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `rearview-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }, "image/png");

// ---------------------------------------------------------------- what the page and scripts may call

const revisions = new Map();
let unsent = {};
let wordsTimer = null;

function sendUnsent() {
  clearTimeout(wordsTimer);
  wordsTimer = null;
  const settings = unsent;
  unsent = {};
  if (Object.keys(settings).length === 0 || connection !== "open") return;
  wire.transport.say({ type: "set", settings });
  changed();
}

const rearview = {
  settings: { ...props.settings },
  acknowledged: null,
  applied: null,
  last: null,
  place: null,
  open: openImage,

  // Takes effect on the next frame; words wait until the fingers rest for a moment.
  set(changes) {
    let words = true;
    for (const [name, value] of Object.entries(changes)) {
      if (value === undefined || this.settings[name] === value) continue;
      this.settings[name] = value;
      unsent[name] = value;
      words = words && typeof value === "string";
    }
    if (Object.keys(unsent).length === 0) return;
    clearTimeout(wordsTimer);
    wordsTimer = words ? setTimeout(sendUnsent, WORDS_DEBOUNCE_MS) : null;
    if (!words) sendUnsent();
  },

  // The same canvas once more, for a model that has changed.
  again() {
    changed();
  },

  connect(token) {
    wire.token = token;
    connect();
  },
};

window.rearview = rearview;
setTool("brush");
setColour(colour);
setSize(size);
setPaper(paper);
showHistory();
compose();
showStatus();
setInterval(showStatus, 300);
window.addEventListener("online", connect);
window.addEventListener("pagehide", () => wire.transport?.leave());
window.addEventListener("pageshow", (event) => event.persisted && connect());
if (window.rearviewToken) rearview.connect(window.rearviewToken);
