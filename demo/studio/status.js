// The status line: how fast, how late, what paints, what is wrong, and the line in front of the door.

import { median, setText } from "./dom.js";

const REST_MS = 400;
const REFRESH_MS = 300;

export function createStatus(studio) {
  const { events, find, word } = studio;
  const status = find("status");
  const pace = { times: [], latencies: [], frames: 0, fill: 0 };
  let hello = null;
  let last = null;
  let place = null;
  let timer = null;
  // What the sentence that stands there is about; it goes when such a thing succeeds again.
  let refused = null;

  function say(sentence) {
    setText(find("notice"), sentence.charAt(0).toUpperCase() + sentence.slice(1));
  }

  function withdraw() {
    refused = null;
    say("");
  }

  function fact(name, text, title = "") {
    const where = status.querySelector(`[data-fact="${name}"]`);
    setText(where, text);
    if (where.title !== title) where.title = title;
  }

  // Counts gaps between pictures of one run only, so that a rest between two strokes is no slow frame.
  function framesPerSecond() {
    const gaps = pace.times.slice(1).map((time, at) => time - pace.times[at]).filter((gap) => gap < 1000);
    const total = gaps.reduce((sum, gap) => sum + gap, 0);
    return total > 0 ? (1000 * gaps.length) / total : 0;
  }

  function stateOf(connection) {
    if (connection === "queued") return "queued";
    if (connection !== "open") return "away";
    const resting = performance.now() - (pace.times.at(-1) ?? -Infinity) > REST_MS && studio.wire.underWay === 0;
    return resting ? "idle" : "busy";
  }

  function wordOf(state, connection) {
    if (studio.wire.paused && connection === "open") return word("status.paused");
    if (studio.wire.resting && connection === "open") return word("status.hidden");
    if (state !== "away") return word(`status.${state}`);
    return word(`status.${["connecting", "replaced", "over"].includes(connection) ? connection : "reconnecting"}`);
  }

  function show() {
    const { connection } = studio.wire;
    const fps = framesPerSecond();
    const latency = median(pace.latencies);
    const state = stateOf(connection);
    Object.assign(status.dataset, {
      state,
      fps: fps.toFixed(1),
      latencyMs: latency.toFixed(0),
      frames: pace.frames,
      bankFill: pace.fill.toFixed(3),
    });
    // A page at rest sets no timer.
    clearTimeout(timer);
    timer = state === "busy" ? setTimeout(show, REFRESH_MS) : null;
    status.style.setProperty("--bank", pace.fill);
    fact("state", wordOf(state, connection));
    fact("fps", pace.frames ? word("status.fps", { fps: fps.toFixed(1) }) : "");
    fact("latency", latency ? word("status.latency", { milliseconds: latency.toFixed(0) }) : "");
    const parts = hello ? [hello.model, hello.control, hello.memory, hello.kernel] : [];
    const model = hello ? [hello.model_title, hello.model_reason].filter(Boolean).join(": ") : "";
    fact("engine", parts.filter(Boolean).join(" · "), model);
    fact("bank", word("status.bank", { percent: Math.round(pace.fill * 100) }));
  }

  function duration(seconds) {
    if (seconds === null) return word("line.unknown");
    if (seconds < 60) return word("line.seconds", { seconds: Math.max(5, Math.ceil(seconds / 5) * 5) });
    const minutes = Math.round(seconds / 60);
    return minutes === 1 ? word("line.minute") : word("line.minutes", { minutes });
  }

  function showPlace(news) {
    place = news;
    find("line").hidden = false;
    find("place").textContent = word("line.place", news);
    find("expected").textContent = word("line.expected", { duration: duration(news.seconds) });
    say("");
  }

  events.on("connection", (connection) => {
    if (connection !== "queued") {
      place = null;
      find("line").hidden = true;
    }
    find("again").hidden = connection !== "over";
    show();
  });

  events.on("picture", ({ sequence, frame, engineMs, fill, blurred, settling, latencyMs }) => {
    pace.times = [...pace.times.slice(-30), performance.now()];
    if (!settling || !pace.latencies.length) pace.latencies = [...pace.latencies.slice(-15), latencyMs];
    pace.frames += 1;
    pace.fill = fill;
    if (blurred) sayBlurred();
    else if (refused === "frame" || refused === "blurred") withdraw();
    last = { sequence, frame, engineMs, fill, latencyMs };
    show();
  });

  function sayBlurred() {
    if (refused === "setting") return;
    refused = "blurred";
    say(word("status.blurred"));
  }

  events.on("news", (news) => {
    if (news.type === "hello") hello = news;
    else if (news.type === "applied" && refused === "setting") withdraw();
    else if (news.type === "reset") pace.fill = 0;
    else if (news.type === "queue") showPlace(news);
    else if (news.type === "error" || news.type === "notice") {
      refused = { error: news.setting ? "setting" : "frame", notice: null }[news.type];
      say(news.message);
    }
    show();
  });

  events.on("sent", show);
  events.on("dropped", show);
  events.on("resting", show);
  find("again").onclick = () => studio.wire.comeAgain();

  return {
    say,
    show,
    get last() {
      return last;
    },
    get place() {
      return place;
    },
  };
}
