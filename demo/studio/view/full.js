// The whole screen for the picture, alone or with the drawing. Where a browser gives none (a phone, a frame that may not),
// the window is filled instead.

export function createFull(studio) {
  const { find } = studio;
  const stage = find("stage");
  let both = false;

  const isFull = () => "full" in stage.dataset;

  function show() {
    stage.dataset.full = both ? "both" : "alone";
    find("full_both").setAttribute("aria-pressed", both);
  }

  async function enter() {
    show();
    try {
      await stage.requestFullscreen?.();
    } catch {
      // Refused, and the window is filled already.
    }
    find("full_leave").focus({ preventScroll: true });
  }

  function leave() {
    delete stage.dataset.full;
    if (document.fullscreenElement === stage) document.exitFullscreen();
    find("full").focus({ preventScroll: true });
  }

  const toggle = () => (isFull() ? leave() : enter());

  document.addEventListener("fullscreenchange", () => !document.fullscreenElement && isFull() && leave());
  stage.addEventListener("keydown", ({ key }) => key === "Escape" && isFull() && leave());
  find("picture").ondblclick = toggle;
  find("full").onclick = toggle;
  find("full_leave").onclick = leave;
  find("full_both").onclick = () => {
    both = !both;
    show();
  };
  studio.keys.add({ keys: "Shift+F", word: "view.full_key", act: toggle });
}
