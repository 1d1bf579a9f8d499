// The first time that a slider is moved, two small pictures of the visitor's own drawing say what it does.

import { keep, recall } from "../shared/storage.js";

const KEY = "explained";
const ENDS = { strength: [0.3, 1], steps: [1, 4], guidance: [1, 2] };
const SHOWN_MS = 12000;

function pictureOf(bitmap, value) {
  const figure = document.createElement("figure");
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  const caption = document.createElement("figcaption");
  caption.textContent = value;
  figure.append(canvas, caption);
  return figure;
}

export function createEnds(studio, stills) {
  let moved = null;

  function show(name, bitmaps) {
    const place = document.getElementById(name);
    if (!place) return;
    const box = document.createElement("button");
    box.type = "button";
    box.className = "rv-ends";
    box.setAttribute("aria-label", studio.word("looks.ends", { low: ENDS[name][0], high: ENDS[name][1] }));
    box.append(...bitmaps.map((bitmap, at) => pictureOf(bitmap, ENDS[name][at])));
    box.onclick = () => box.remove();
    place.append(box);
    setTimeout(() => box.remove(), SHOWN_MS);
    keep(KEY, [...new Set([...recall(KEY, []), name])]);
  }

  stills.add(() => {
    const name = moved;
    if (!name) return null;
    const changes = ENDS[name].map((value) => ({ [name]: value }));
    return {
      changes,
      take(bitmaps) {
        moved = null;
        show(name, bitmaps);
      },
    };
  });

  document.addEventListener("input", ({ target, isTrusted }) => {
    if (!isTrusted || target.type !== "range") return;
    const name = Object.keys(ENDS).find((each) => document.getElementById(each)?.contains(target));
    const isNew = name && !recall(KEY, []).includes(name);
    if (isNew && !document.getElementById(name).dataset.resting) moved = name;
  });
}
