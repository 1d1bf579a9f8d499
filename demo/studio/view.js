// The translated picture.

import { download, fileName } from "./dom.js";

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

  find("pause").onclick = () => {
    const paused = !studio.wire.paused;
    find("pause").setAttribute("aria-pressed", paused);
    find("pause").title = word(paused ? "view.go_on" : "view.pause");
    studio.wire.pause(paused);
  };

  find("save").onclick = () => picture.toBlob((blob) => download(blob, fileName("png")), "image/png");

  return { picture };
}
