// The status line: how fast, how late, how steady, what paints, what is wrong, and the line in front of the door.

import { median, setText } from "../shared/dom.js";
import { createBankMap } from "./bank_map.js";
import { createSteadiness } from "./steadiness.js";

const REST_MS = 400;
const REFRESH_MS = 300;
const LATE_MS = 15000;
const STEADY = 0.95;
const RESTLESS = 0.7;

export function createStatus(studio) {
  const { events, find, word } = studio;
  const status = find("status");
  // `shownAt` is the time of the last picture, `runs` whether the next one belongs to the same run of pictures.
  const pace = { gaps: [], shownAt: -Infinity, runs: false, latencies: [], frames: 0, fill: 0 };
  let hello = null;
  let last = null;
  let place = null;
  let timer = null;
  // Since when a picture is waited for.
  let waitingSince = null;
  // What the sentence that stands there is about; it goes when such a thing succeeds again.
  let refused = null;

  function say(sentence) {
    setText(find("notice"), sentence.charAt(0).toUpperCase() + sentence.slice(1));
  }

  function withdraw() {
    refused = null;
    say("");
  }

  function fact(name, text) {
    setText(status.querySelector(`[data-fact="${name}"]`), text);
  }

  function framesPerSecond() {
    const total = pace.gaps.reduce((sum, gap) => sum + gap, 0);
    return total > 0 ? (1000 * pace.gaps.length) / total : 0;
  }

  // Only gaps between pictures of one run count, so that a rest between two strokes is no slow frame.
  function keepPace() {
    const now = performance.now();
    if (pace.runs) pace.gaps = [...pace.gaps.slice(-29), now - pace.shownAt];
    Object.assign(pace, { shownAt: now, runs: true, frames: pace.frames + 1 });
  }

  // What is to be painted begins a run where the page was at rest.
  function onChanged() {
    if (status.dataset.state !== "idle") return;
    pace.runs = false;
    show();
  }

  function stateOf(connection) {
    if (connection === "queued") return "queued";
    if (connection !== "open") return "away";
    const resting = performance.now() - pace.shownAt > REST_MS && !studio.wire.atWork;
    return resting ? "idle" : "busy";
  }

  // Milliseconds: no longer than until the page may be at rest.
  function untilNextLook() {
    const untilRest = pace.shownAt + REST_MS - performance.now();
    return untilRest > 0 ? Math.min(Math.ceil(untilRest) + 1, REFRESH_MS) : REFRESH_MS;
  }

  function wordOf(state, connection) {
    if (studio.wire.paused && connection === "open") return word("status.paused");
    if (studio.wire.asleep && connection === "open") return word("status.hidden");
    if (state !== "away") return word(`status.${state}`);
    return word(`status.${["connecting", "replaced", "over"].includes(connection) ? connection : "reconnecting"}`);
  }

  function steadinessWords(share) {
    if (share === null) return word("status.steady", { percent: "–" });
    const name = share >= STEADY ? "steady" : share >= RESTLESS ? "restless" : "flickers";
    return word(`status.${name}`, { percent: Math.round(100 * share) });
  }

  function bankWords() {
    const held = bankMap.share;
    if (held !== null) return word("status.holds", { percent: Math.round(100 * held) });
    return word("status.bank", { percent: Math.round(pace.fill * 100) });
  }

  // Without an answer for long, somebody should say that it is not the visitor's fault, and what helps.
  function sayIfLate() {
    const waits = waitingSince !== null && studio.wire.connection === "open" && !studio.wire.paused;
    if (!waits || performance.now() - waitingSince < LATE_MS || find("notice").textContent) return;
    refused = "late";
    say(word("status.late"));
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
      steadiness: steadiness.share?.toFixed(3) ?? "",
    });
    // A page at rest sets no timer.
    clearTimeout(timer);
    timer = state === "busy" ? setTimeout(show, untilNextLook()) : null;
    status.style.setProperty("--bank", pace.fill);
    fact("state", wordOf(state, connection));
    fact("fps", word("status.fps", { fps: pace.frames ? fps.toFixed(1) : "–" }));
    fact("latency", word("status.latency", { milliseconds: latency ? latency.toFixed(0) : "–" }));
    fact("steadiness", steadinessWords(steadiness.share));
    const parts = hello ? [hello.model_credit, hello.control, studio.settings.memory(hello.memory), hello.kernel, hello.runtime] : [];
    const model = hello ? [hello.model_credit, hello.model_reason].filter(Boolean).join(": ") : "";
    fact("engine", parts.filter(Boolean).join(" · "));
    status.querySelector('[data-fact="engine"]').title = model;
    fact("bank", bankWords());
    sayIfLate();
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
    waitingSince = null;
    pace.runs = false;
    show();
  });

  events.on("sent", () => (waitingSince ??= performance.now()));
  events.on("dropped", () => (waitingSince = null));
  events.on("answered", () => (waitingSince = null));

  events.on("picture", ({ sequence, frame, engineMs, fill, blurred, settling, latencyMs }) => {
    keepPace();
    if (!settling || !pace.latencies.length) pace.latencies = [...pace.latencies.slice(-15), latencyMs];
    pace.fill = fill;
    if (blurred) sayBlurred();
    else if (["frame", "blurred", "late"].includes(refused)) withdraw();
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
    else if (news.type === "runtime") hello = { ...hello, runtime: news.runtime };
    else if (news.type === "applied" && refused === "setting") withdraw();
    else if (news.type === "reset") pace.fill = 0;
    else if (news.type === "queue") showPlace(news);
    else if (news.type === "error" || news.type === "notice") {
      refused = { error: news.setting ? "setting" : "frame", notice: null }[news.type];
      say(news.message);
    }
    show();
  });

  events.on("changed", onChanged);
  events.on("sent", show);
  events.on("dropped", show);
  events.on("asleep", show);
  const steadiness = createSteadiness(studio);
  const bankMap = createBankMap(studio);
  find("again").onclick = () => studio.wire.comeAgain();

  return {
    say,
    show,
    get hello() {
      return hello;
    },
    get last() {
      return last;
    },
    get place() {
      return place;
    },
  };
}
