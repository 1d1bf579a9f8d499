// The wire to the engine: at most as many frames under way as it takes, the newest first, and what comes back.

import { surface } from "../shared/dom.js";
import { frameMessage, pictureOf } from "./messages.js";
import { CLOSED, openPost, openSocket } from "./transports.js";

const SETTLE_FRAMES = 8;
const FRAMES_BESIDE = 1;
const JPEG_QUALITY = 0.85;
const SOCKET_TRIES_BEFORE_POST = 2;
const RENEWALS_BEFORE_RELOAD = 3;
const ROOM_MS = 8;
const FIRST_SOCKET_CODE = 1000;

// Emits "changed" when the canvas has changed, "sent" {sequence, started, jpeg}, "answered" (pictureOf) as pictures come,
// "picture" (the same with bitmap, settling and latencyMs) for those that are to be shown, "finer" {bitmap} for one that
// takes the place of the picture at rest, "dropped" {sequence}, "reset" as
// one is asked for, "news" (any words of the server), "connection" and "asleep".
export function createWire(studio) {
  const { element, events, word } = studio;
  const canvas = studio.find("canvas");
  const small = surface(256);
  const state = {
    transport: null,
    connection: "connecting",
    paused: false,
    held: false,
    renewed: false,
    asleep: false,
    underWay: 0,
    decoding: 0,
    sequence: 0,
    newest: 0,
    encoding: false,
    changedAt: 0,
    settle: 0,
    tries: 0,
    renewals: 0,
    socketTries: 0,
    socketWorked: false,
    refusal: "",
    token: null,
    timer: null,
  };

  function setConnection(name) {
    state.connection = name;
    events.emit("connection", name);
  }

  function mark(continuing) {
    if (!state.changedAt || !continuing) state.changedAt = performance.now();
    state.settle = SETTLE_FRAMES;
  }

  // Marks the canvas as changed; `continuing` changes are counted from the first that was not sent yet.
  function changed(continuing = false) {
    mark(continuing);
    events.emit("changed");
    pump();
  }

  const isSilent = () => state.connection !== "open" || state.paused || state.held || state.asleep;

  function say(news) {
    if (state.connection === "open") state.transport.say(news);
  }

  function reset() {
    if (!state.transport) return;
    state.transport.say({ type: "reset" });
    events.emit("reset");
  }

  // As many as the engine takes of one visitor, and one that is on its way meanwhile.
  function framesAtOnce() {
    const { pipelined, steps } = studio.settings.values;
    return (pipelined === "on" ? steps : 1) + FRAMES_BESIDE;
  }

  async function pump() {
    if (isSilent() || state.encoding || state.underWay >= framesAtOnce()) return;
    if (!state.changedAt && (state.settle <= 0 || state.underWay > 0)) return;
    state.encoding = true;
    const transport = state.transport;
    const started = state.changedAt || performance.now();
    if (!state.changedAt) state.settle -= 1;
    state.changedAt = 0;
    small.imageSmoothingQuality = "high";
    small.drawImage(canvas, 0, 0, small.canvas.width, small.canvas.height);
    const blob = await new Promise((resolve) => small.canvas.toBlob(resolve, "image/jpeg", JPEG_QUALITY));
    const jpeg = new Uint8Array(await blob.arrayBuffer());
    state.encoding = false;
    if (transport === state.transport && !state.held) post(jpeg, started);
    // Also where another connection has come meanwhile: its first frame has been waiting for this one.
    pump();
  }

  function post(jpeg, started) {
    state.sequence += 1;
    state.underWay += 1;
    events.emit("sent", { sequence: state.sequence, started, jpeg });
    state.transport.send(frameMessage(state.sequence, started, jpeg));
  }

  // Waits until fewer than `most` frames are under way, or `ended` says that nobody waits any more.
  async function room(most, ended) {
    while (state.connection !== "open" || state.underWay >= most) {
      if (ended()) return;
      await new Promise((resolve) => setTimeout(resolve, ROOM_MS));
    }
  }

  function settled() {
    state.underWay = Math.max(0, state.underWay - 1);
    pump();
  }

  async function onPicture(buffer) {
    const picture = pictureOf(buffer);
    const settling = state.settle < SETTLE_FRAMES && !state.changedAt;
    events.emit("answered", picture);
    state.decoding += 1;
    if (!picture.finer) settled();
    try {
      const bitmap = await createImageBitmap(new Blob([picture.jpeg]));
      if (picture.finer) events.emit("finer", { bitmap });
      if (picture.sequence > state.newest) {
        state.newest = picture.sequence;
        events.emit("picture", { ...picture, bitmap, settling, latencyMs: performance.now() - picture.started });
      }
      bitmap.close();
    } finally {
      state.decoding -= 1;
    }
  }

  function onNews(news) {
    if (news.type === "hello") small.canvas.width = small.canvas.height = news.size;
    events.emit("news", news);
    if (news.type === "again") changed();
    else if (news.type === "queue") setConnection("queued");
    else if (news.type === "dropped" || (news.type === "error" && news.sequence !== undefined)) {
      events.emit("dropped", news);
      settled();
    }
  }

  function opened(transport) {
    state.transport = transport;
    state.underWay = 0;
    state.tries = state.renewals = state.socketTries = 0;
    state.refusal = "";
    state.socketWorked ||= !transport.posts;
    state.renewed = true;
    mark(false);
    setConnection("open");
    state.renewed = false;
    studio.say("");
    changed();
  }

  function again(seconds) {
    clearTimeout(state.timer);
    state.timer = setTimeout(connect, 1000 * seconds);
  }

  function lost(sentence) {
    state.underWay = 0;
    setConnection("lost");
    studio.say(sentence || word("wire.no_answer"));
    again(Math.min(8, 0.4 * 2 ** state.tries++) * (0.8 + 0.4 * Math.random()));
  }

  // A server that asks for a name and a password gives a token only after a new login.
  function renewToken() {
    setConnection("lost");
    state.renewals += 1;
    const stranger = state.renewals > RENEWALS_BEFORE_RELOAD;
    studio.say(word(stranger ? "wire.stranger" : "wire.restarted"));
    if (!stranger) studio.trigger("renew");
    again(Math.min(8, 2 ** state.tries++));
  }

  function reasonOf(code, reason) {
    if (code < FIRST_SOCKET_CODE) return reason || word("wire.not_the_server", { status: code });
    return [CLOSED.again, CLOSED.flood, CLOSED.full].includes(code) ? reason : "";
  }

  function closed(transport, code, reason, greeted) {
    if (greeted && state.transport !== transport) return;
    if (transport.posts) state.socketTries = 0;
    else if (code === 1006 && !greeted && state.connection !== "queued") state.socketTries += 1;
    state.transport = null;
    const said = reasonOf(code, reason);
    // A socket that does not open never says why; the last POST has.
    if (transport.posts) state.refusal = said;
    if (code === CLOSED.token) renewToken();
    else if (code === CLOSED.replaced || code === CLOSED.over) {
      setConnection(code === CLOSED.over ? "over" : "replaced");
      studio.say(reason);
    } else lost(said || state.refusal);
  }

  const on = {
    opened,
    closed,
    news: onNews,
    picture: onPicture,
    trying(transport) {
      state.transport = transport;
    },
    queued(news, milliseconds) {
      state.transport = null;
      onNews(news);
      clearTimeout(state.timer);
      state.timer = setTimeout(() => openPost(state.token, on), milliseconds);
    },
  };

  function connect() {
    clearTimeout(state.timer);
    if (!element.isConnected || state.token === null) return;
    if (["open", "queued", "replaced", "over"].includes(state.connection)) return;
    const useSocket = state.socketWorked || state.socketTries < SOCKET_TRIES_BEFORE_POST;
    if (useSocket) openSocket(state.token, on);
    else openPost(state.token, on);
  }

  window.addEventListener("online", connect);
  window.addEventListener("pagehide", () => state.transport?.leave());
  window.addEventListener("pageshow", (event) => event.persisted && connect());

  return {
    changed,
    reset,
    say,
    get connection() {
      return state.connection;
    },
    // Whether a picture is still to be sent, to come or to be shown.
    get atWork() {
      const waits = !isSilent() && (state.changedAt > 0 || state.settle > 0);
      return waits || state.underWay > 0 || state.encoding || state.decoding > 0;
    },
    get paused() {
      return state.paused;
    },
    // Whether "connection" tells of one that has just been opened.
    isNew: () => state.renewed,
    // While somebody else sends frames, the canvas sends none.
    hold(held) {
      state.held = held;
      if (!held) changed();
    },
    // Sends a picture as it is, as soon as there is room; drops none. A frame beside those that are painted would be
    // given up by the engine for the next one.
    async sendPicture(bytes, ended) {
      await room(framesAtOnce() - FRAMES_BESIDE, ended);
      if (state.connection === "open" && !ended()) post(bytes, performance.now());
    },
    // Waits until no frame is under way.
    rest: (ended) => room(1, ended),
    pause(paused) {
      state.paused = paused;
      events.emit("connection", state.connection);
      if (!paused) changed();
    },
    get asleep() {
      return state.asleep;
    },
    // As if paused, by the page itself.
    sleep(asleep) {
      if (state.asleep === asleep) return;
      state.asleep = asleep;
      events.emit("asleep", asleep);
      if (!asleep) changed();
    },
    connect(token) {
      state.token = token;
      connect();
    },
    // After a visit that was over.
    comeAgain() {
      setConnection("connecting");
      studio.say("");
      connect();
    },
  };
}
