// Records a visit: every frame that the engine took, every change of settings, and what was done to the drawing. The file's
// format is that of pipeline/recording/recording.py.
//
// What the engine did is read off its answers, since words may overtake frames: the numbers of its frames are the order in
// which it took them, the revision says with which settings, and where the number of resets changes, the past was forgotten.
// So the very pictures come again. A connection that was lost counts as a reset, and a recording begins with one.

import { durationOf } from "../ink/operations.js";
import { download, fileName, setText } from "../shared/dom.js";

const MOST_MS = 10 * 60 * 1000;
const MOST_BYTES = 48 * 2 ** 20;
const LAST_ANSWERS_MS = 4000;
const TICK_MS = 250;
const LIKES_KEPT = 8;

const sameBytes = (one, other) => one?.length === other.length && one.every((byte, at) => byte === other[at]);
const bytesOf = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
const tidy = (ms) => Math.max(0, Math.round(10 * ms) / 10);

// The frames of a recording in the order in which the engine took them, as far as all of them are known.
function inOrder(taken, since) {
  const kept = taken.filter(({ connection, resets }) => resets >= (since.get(connection) ?? Infinity));
  kept.sort((one, other) => one.connection - other.connection || one.frame - other.frame);
  const known = [];
  let broken = null;
  for (const each of kept) {
    const last = known.at(-1);
    const stream = `${each.connection} ${each.resets}`;
    const follows = last && last.connection === each.connection && each.frame !== last.frame + 1 && last.resets === each.resets;
    if (follows) broken = stream;
    if (stream !== broken) known.push({ ...each, stream });
  }
  return known;
}

// Frames and changes of settings as events, and of pictures to be like; each that stands there twice is stored once.
function frameEvents(frames, files) {
  const events = [];
  const likes = new Map([["", ""]]);
  let liked = "";
  let last = frames[0];
  let name = null;
  for (const each of frames) {
    const t = tidy(each.t);
    if (each.stream !== last.stream) events.push({ t, type: "reset" });
    if (each.revision !== last.revision || each.connection !== last.connection) {
      events.push({ t, type: "set", settings: each.settings });
    }
    if (each.like !== liked) {
      liked = each.like;
      if (!likes.has(liked)) {
        likes.set(liked, `frames/like-${likes.size}.jpg`);
        files.set(likes.get(liked), bytesOf(liked));
      }
      events.push({ t, type: "like", image: likes.get(liked) });
    }
    if (!name || !sameBytes(files.get(name), each.jpeg)) {
      name = `frames/${String(files.size + 1).padStart(5, "0")}.jpg`;
      files.set(name, each.jpeg);
    }
    events.push({ t, type: "frame", image: name });
    if (each.rests) events.push({ t: tidy(each.rests), type: "rest" });
    last = each;
  }
  return events;
}

// Operations as events, their pictures among the files.
async function drawEvents(drawn, files) {
  const events = [];
  for (const { t, operation } of drawn) {
    let op = operation;
    if (op.image) {
      const image = `images/${String(files.size + 1).padStart(5, "0")}.png`;
      files.set(image, new Uint8Array(await op.image.arrayBuffer()));
      op = { ...op, image };
    }
    events.push({ t: tidy(t), type: "draw", op });
  }
  return events;
}

// Asked for as a recording begins: at its end the server may be gone.
const zip = () => import("./zip.js");

export function createRecorder(studio) {
  const { events, find, word } = studio;
  const button = find("record");
  let hello = null;
  let connection = 0;
  const sent = new Map();
  // From which revision of this connection on pictures are like which one, "" for none; and what was asked for and is not
  // answered yet.
  let likes = [];
  let liking = [];
  let now = null;
  let timer = null;
  let asked = 0;
  let answered = 0;

  events.on("news", (news) => {
    if (news.type === "hello") hello = news;
    else if (news.type === "runtime") hello = { ...hello, runtime: news.runtime };
    else if (news.type === "reset") {
      answered += 1;
      if (now && answered === now.begins) now.since.set(connection, news.resets);
    }
  });

  events.on("reset", () => (asked += 1));

  events.on("connection", (name) => {
    if (name !== "open" || !studio.wire.isNew()) return;
    connection += 1;
    asked = answered = 0;
    sent.clear();
    likes = [];
    if (now) beginAnew();
  });

  events.on("connection", () => (liking = []));

  events.on("news", (news) => {
    if (news.type === "liked") liked(news.revision % 65536, liking.shift());
    else if (news.like) liking.shift();
  });

  // A recording, or what comes after a lost connection, begins where the past is forgotten: with the answer to this.
  function beginAnew() {
    studio.wire.reset();
    now.begins = asked;
  }

  // Also before a recording begins: a frame that is under way may be the first after its reset.
  events.on("sent", ({ sequence, jpeg }) => sent.set(sequence, { jpeg, at: performance.now() }));
  events.on("answered", take);
  // With a number: the engine took it, but its picture was pushed out by a newer one on its way.
  events.on("dropped", (news) => (news.frame === undefined ? sent.delete(news.sequence) : take(news)));

  // The last picture has come finer; if a frame has set out meanwhile, nobody has seen that for long.
  events.on("finer", () => {
    const last = now?.taken.at(-1);
    if (last && sent.size === 0) last.rests = performance.now() - now.started;
  });

  events.on("drawn", (operation) => {
    if (!now || now.ended < Infinity) return;
    now.drawn.push({ t: performance.now() - now.started - durationOf(operation), operation });
  });

  function take({ sequence, frame, revision, resets }) {
    const each = sent.get(sequence);
    sent.delete(sequence);
    if (!each || !now || each.at > now.ended) return;
    const last = now.taken.at(-1);
    const same = sameBytes(last?.jpeg, each.jpeg);
    if (!same) now.bytes += each.jpeg.length;
    const [jpeg, t] = [same ? last.jpeg : each.jpeg, each.at - now.started];
    const settings = studio.settings.of(revision);
    now.taken.push({ jpeg, t, frame, revision, resets, connection, runtime: hello.runtime, settings, like: likeAt(revision) });
  }

  // Headers of pictures count revisions modulo 2 ** 16.
  const isSince = (since, revision) => (revision - since + 65536) % 65536 < 32768;

  function likeAt(revision) {
    return likes.findLast(({ since }) => isSince(since, revision))?.picture ?? "";
  }

  function liked(since, picture) {
    likes = [...likes.slice(-LIKES_KEPT), { since, picture }];
    if (now) now.bytes += picture.length;
  }

  // Asks for pictures like this one, a JPEG or PNG in base64, "" for like none.
  function like(picture) {
    if (studio.wire.connection !== "open") return;
    liking.push(picture);
    studio.wire.say({ type: "like", picture: picture || null });
  }

  function show() {
    button.setAttribute("aria-pressed", now !== null);
    button.title = word(now ? "recording.stop" : "recording.start");
    find("recorded").hidden = !now;
    if (!now) return;
    const seconds = Math.floor((performance.now() - now.started) / 1000);
    const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    setText(find("recorded"), word("recording.so_far", { time, megabytes: (now.bytes / 2 ** 20).toFixed(1) }));
    if (seconds * 1000 >= MOST_MS || now.bytes >= MOST_BYTES) {
      studio.say(word("recording.full"));
      save();
    }
  }

  function start() {
    if (now || studio.wire.connection !== "open") return;
    const began = { started: 0, taken: [], drawn: [], since: new Map(), bytes: 0, begins: 0, ended: Infinity };
    zip().catch(() => {});
    const drawing = studio.drawing.described();
    began.started = performance.now();
    began.drawn = drawing.map((operation) => ({ t: 0, operation }));
    began.bytes = drawing.reduce((sum, { image }) => sum + (image?.size ?? 0), 0);
    now = began;
    timer = setInterval(show, TICK_MS);
    show();
    beginAnew();
    studio.wire.changed();
  }

  async function fileOf({ taken, since, drawn }) {
    const files = new Map();
    const frames = inOrder(taken, since);
    const runtimes = new Set([...taken.map(({ runtime }) => runtime), hello.runtime].filter(Boolean));
    const images = new Map();
    const parts = [...(await drawEvents(drawn, images)), ...(frames.length ? frameEvents(frames, files) : [])];
    // At one time the drawing comes first: the frame shows it. A sort keeps what is equal in its order.
    const contents = {
      format: "rearview-recording",
      version: 1,
      model: { name: hello.model, title: hello.model_title },
      memory: hello.memory,
      runtime: runtimes.size > 1 ? "PyTorch and OpenVINO" : [...runtimes][0],
      control: hello.control ?? "",
      adapter: hello.adapter ?? "",
      decoder: hello.decoder ?? "",
      size: [hello.size, hello.size],
      seed: hello.seed,
      settings: frames[0]?.settings ?? { ...studio.settings.values },
      events: parts.sort((one, other) => one.t - other.t),
    };
    const { zipped } = await zip();
    return zipped([["recording.json", new TextEncoder().encode(JSON.stringify(contents))], ...files, ...images]);
  }

  // The frames that are under way belong to it, if their pictures come soon.
  async function stop() {
    const ended = now;
    if (!ended || ended.ended < Infinity) return null;
    ended.ended = performance.now();
    clearInterval(timer);
    for (let ms = 0; sent.size > 0 && ms < LAST_ANSWERS_MS; ms += TICK_MS) {
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    }
    now = null;
    show();
    return fileOf(ended);
  }

  async function save() {
    const file = await stop();
    if (file) download(file, fileName("rearview"));
  }

  button.onclick = () => (now ? save() : start());

  show();
  return { start, stop, like };
}
