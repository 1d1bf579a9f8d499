// A worker that says when it is time for the next frame: the timers of a hidden page stand nearly still, a worker's do not.

const FRAME_MS = 66;

setInterval(() => postMessage(0), FRAME_MS);
