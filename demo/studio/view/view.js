// The translated picture, and how it is looked at.

import { createCompare } from "./compare.js";
import { createFull } from "./full.js";
import { createLayout } from "./layout.js";
import { createSmallWindow } from "./window.js";

export function createView(studio) {
  const { events, find, word } = studio;
  const picture = find("picture");

  events.on("picture", ({ bitmap }) => {
    if (picture.width !== bitmap.width || picture.height !== bitmap.height) {
      picture.width = bitmap.width;
      picture.height = bitmap.height;
    }
    picture.getContext("2d").drawImage(bitmap, 0, 0);
  });

  function pause() {
    const paused = !studio.wire.paused;
    find("pause").setAttribute("aria-pressed", paused);
    find("pause").title = word(paused ? "view.go_on" : "view.pause");
    studio.wire.pause(paused);
  }

  find("pause").onclick = pause;
  studio.keys.add({ keys: "p", word: "view.pause_key", act: pause });

  createLayout(studio);
  createFull(studio);
  createCompare(studio);
  createSmallWindow(studio);

  return { picture };
}
