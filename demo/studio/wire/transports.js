// Two ways to the engine, with the same messages: a WebSocket, and POST for hosts that let no WebSocket through.

import { pageAddress } from "../shared/address.js";

const POST_PING_MS = 20000;
const POST_ASK_MS = 2000;

export const CLOSED = { again: 1012, token: 4401, replaced: 4409, over: 4410, flood: 4420, full: 4429 };

// `on` is told of what comes: opened(transport), news(object), picture(buffer), closed(transport, code, reason, greeted);
// a code below 1000 is the status of an answer to a POST.
export function openSocket(token, on) {
  const address = new URL("rearview/live" + location.search, pageAddress());
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  const transport = {
    say: (news) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(news)),
    leave: () => transport.say({ type: "bye" }),
    send: (message) => socket.readyState === WebSocket.OPEN && socket.send(message),
  };
  let greeted = false;
  socket.binaryType = "arraybuffer";
  socket.onopen = () => socket.send(JSON.stringify({ token }));
  socket.onmessage = (event) => {
    if (typeof event.data !== "string") {
      on.picture(event.data);
      return;
    }
    const news = JSON.parse(event.data);
    on.news(news);
    if (news.type === "hello" && !greeted) {
      greeted = true;
      on.opened(transport);
    }
  };
  socket.onclose = (event) => on.closed(transport, event.code, event.reason, greeted);
}

// What the server says, or null where somebody else has answered: a proxy, a login, a page of a host's own.
async function newsOf(answer) {
  try {
    return await answer.json();
  } catch {
    return null;
  }
}

// Where nobody says more, the code is the status of the answer.
function problemOf(status, news) {
  if (!news?.type) return { code: status };
  const over = news.type === "over" ? CLOSED.over : 410;
  const code = { 401: CLOSED.token, 410: over, 429: CLOSED.full, 503: CLOSED.again }[status];
  return { code: code ?? status, reason: news.message, queue: news.type === "queue" ? news : null };
}

// One message a request. `on` is told as by a socket, and of a place in line: queued(news, askAgain).
export async function openPost(token, on) {
  const address = new URL("gradio_api/rearview/frame", pageAddress());
  const ask = async (body, type, leaving = false) => {
    const headers = { "content-type": type, "x-rearview-token": token };
    const answer = await fetch(address, { method: "POST", headers, body, keepalive: leaving });
    if (answer.headers.get("content-type")?.startsWith("application/octet-stream")) {
      on.picture(await answer.arrayBuffer());
      return;
    }
    const news = await newsOf(answer);
    if (news === null || (!answer.ok && answer.status !== 413)) throw problemOf(answer.status, news);
    for (const each of [news].flat()) on.news(each);
  };
  let queue = Promise.resolve();
  let ended = false;
  const fail = (problem) => {
    if (ended) return;
    ended = true;
    clearInterval(ping);
    on.closed(transport, problem.code ?? 1006, problem.reason ?? "", true);
  };
  const transport = {
    posts: true,
    say: (news) => (queue = queue.then(() => ask(JSON.stringify(news), "application/json")).catch(fail)),
    leave: () => ask(JSON.stringify({ type: "bye" }), "application/json", true).catch(() => {}),
    send: (message) => queue.then(() => ask(message, "application/octet-stream")).catch(fail),
  };
  const ping = setInterval(() => transport.say({ type: "ping" }), POST_PING_MS);
  on.trying(transport);
  try {
    await ask(JSON.stringify({ type: "hello" }), "application/json");
  } catch (problem) {
    if (!problem.queue) {
      fail(problem);
      return;
    }
    clearInterval(ping);
    on.queued(problem.queue, POST_ASK_MS);
    return;
  }
  on.opened(transport);
}
