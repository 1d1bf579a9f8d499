// The picture in a small window above all others.

export function createSmallWindow(studio) {
  const { find } = studio;
  const button = find("small_window");
  const picture = find("picture");
  let video = null;
  let release = null;

  async function open() {
    video ??= Object.assign(document.createElement("video"), { muted: true, playsInline: true });
    video.srcObject = picture.captureStream();
    video.onleavepictureinpicture = closed;
    const begun = video.play();
    // Half a minute may pass without a new picture; the window wants one to begin with.
    picture.getContext("2d").drawImage(picture, 0, 0);
    await begun;
    await video.requestPictureInPicture();
    release = studio.hidden.keep("small window");
    button.setAttribute("aria-pressed", true);
  }

  function closed() {
    for (const track of video.srcObject?.getTracks() ?? []) track.stop();
    video.srcObject = null;
    release?.();
    release = null;
    button.setAttribute("aria-pressed", false);
  }

  async function toggle() {
    if (document.pictureInPictureElement === video && video) {
      document.exitPictureInPicture();
      return;
    }
    try {
      await open();
    } catch {
      closed();
      studio.say(studio.word("view.no_window"));
    }
  }

  button.hidden = !document.pictureInPictureEnabled || !picture.captureStream;
  button.onclick = toggle;
}
