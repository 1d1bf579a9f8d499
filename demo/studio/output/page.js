// The clean output page: the newest picture, as large as fits. It comes back by itself, for as long as it is open.

const PICTURE_NUMBER_HEADER = "x-rearview-picture";
const SOCKET_TRIES_BEFORE_POLLS = 2;
const LATER_MS = 4000;
const GONE = 4404;
const OVER = 4410;
const FULL = 4429;

const canvas = document.getElementById("picture");
const place = document.getElementById("sentence");
// Nobody reads the address of this page but the page: it holds the key.
const here = window.location.pathname.replace(/\/+$/, "");

let tries = 0;
let socketTries = 0;
let socketWorked = false;
let number = 0;

function say(sentence) {
  if (place.textContent !== sentence) place.textContent = sentence;
}

async function show(blob) {
  const bitmap = await createImageBitmap(blob);
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
  }
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  canvas.dataset.pictures = Number(canvas.dataset.pictures ?? 0) + 1;
  bitmap.close();
  tries = 0;
  say("");
}

// Black, as before the first picture.
function clear() {
  canvas.width = canvas.height = 1;
}

// After a hiccup at once, then ever later.
function again(milliseconds = Math.min(LATER_MS, 250 * 2 ** tries++)) {
  setTimeout(() => (socketTries < SOCKET_TRIES_BEFORE_POLLS ? watch() : poll()), milliseconds);
}

function ended(sentence) {
  clear();
  say(sentence);
  again(LATER_MS);
}

function watch() {
  const address = new URL(here + "/live", window.location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  // One picture after the other: an older one, decoded late, never covers a newer one.
  let turn = Promise.resolve();
  socket.onopen = () => {
    socketWorked = true;
    say("");
  };
  socket.onmessage = (event) => (turn = turn.then(() => show(event.data)));
  socket.onclose = ({ code, reason }) => {
    if (!socketWorked) socketTries += 1;
    if ([GONE, OVER, FULL].includes(code)) ended(reason);
    else lost();
  };
}

// Where no WebSocket gets through: each answer is a picture that is not there yet.
async function poll() {
  try {
    const answer = await fetch(`${here}/picture?after=${number}`, { cache: "no-store" });
    if (answer.status === 404 || answer.status === 429) {
      number = 0;
      ended(await answer.text());
      return;
    }
    if (!answer.ok) throw new Error(answer.statusText);
    if (answer.status === 200) {
      number = Number(answer.headers.get(PICTURE_NUMBER_HEADER));
      await show(await answer.blob());
    }
    again(0);
  } catch {
    lost();
  }
}

// The last picture stands meanwhile.
function lost() {
  if (tries > 2) say(place.dataset.away);
  again();
}

watch();
