// A page that nobody sees sends nothing, unless somebody has a reason to keep it at work.
//
// Emits "unseen" when the page is hidden or shown, or when the last reason goes.

export function createHidden(studio) {
  const { events } = studio;
  const reasons = new Set();
  const isWorking = () => document.hidden && reasons.size > 0;

  function show() {
    studio.wire.sleep(document.hidden && reasons.size === 0);
    events.emit("unseen");
  }

  document.addEventListener("visibilitychange", show);

  return {
    // Go on while hidden, as for a video that is being made; gives the function that takes this back.
    keep(reason) {
      const mine = { reason };
      reasons.add(mine);
      show();
      return () => {
        reasons.delete(mine);
        show();
      };
    },
    // Whether the page is hidden and works all the same.
    get working() {
      return isWorking();
    },
  };
}
