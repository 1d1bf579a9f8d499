// A well for the picture that the painted ones are to be like: dropped, pasted, picked, or taken from the drawing or from
// the last painting. Fetched only where the server has an adapter that reads one. `liked` is for the tab of video files.

import { decoded } from "./decoding.js";
import { drawCropped, surface } from "../shared/dom.js";

const SEEN_SIDE = 256;
const JPEG_QUALITY = 0.92;

export function createWell(root, rearview) {
  const part = (name) => root.querySelector(`[data-like=${name}]`);
  const shown = surface(SEEN_SIDE);
  shown.canvas.style.width = "96px";
  part("shown").append(shown.canvas);
  let picture = "";
  let used = false;

  function tell() {
    part("off").hidden = part("shown").hidden = picture === "";
    used = true;
    rearview.liked = picture;
    rearview.like(picture);
    rearview.again();
  }

  // The middle square is all that an image encoder sees.
  function be(image, width, height) {
    shown.fillStyle = "#fff";
    shown.fillRect(0, 0, SEEN_SIDE, SEEN_SIDE);
    drawCropped(shown, image, width, height);
    picture = shown.canvas.toDataURL("image/jpeg", JPEG_QUALITY).split(",")[1];
    tell();
  }

  async function open(file) {
    if (!file) return;
    try {
      const image = await decoded(file);
      be(image, image.naturalWidth, image.naturalHeight);
      part("note").hidden = true;
    } catch {
      part("note").hidden = false;
    }
  }

  function take(event, files) {
    if (files.length === 0) return;
    event.preventDefault();
    event.stopPropagation();
    open(files[0]);
  }

  root.addEventListener("dragover", (event) => event.preventDefault());
  root.addEventListener("drop", (event) => take(event, event.dataTransfer.files));
  root.addEventListener("paste", (event) => take(event, event.clipboardData.files));
  part("pick").onclick = () => part("file").click();
  part("file").onchange = ({ target }) => {
    open(target.files[0]);
    target.value = "";
  };
  for (const id of ["canvas", "picture"]) {
    part(id).onclick = () => {
      const canvas = document.getElementById(id);
      be(canvas, canvas.width, canvas.height);
    };
  }
  part("off").onclick = () => {
    picture = "";
    tell();
  };
  // What was asked for meanwhile is lost, and a new visit, or one that has seen a recording, knows nothing of the picture.
  const again = () => used && tell();
  rearview.on("connection", (name) => name === "open" && again());
  rearview.on("replayed", again);
}
