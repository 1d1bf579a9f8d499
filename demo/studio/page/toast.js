// A word on what has just been done; it goes by itself. What is wrong stands under the pictures instead, and stays.

const SHOWN_MS = 6000;

export function createToast(studio) {
  const place = studio.find("toast");
  let timer = null;

  return (sentence) => {
    clearTimeout(timer);
    place.textContent = sentence;
    timer = setTimeout(() => (place.textContent = ""), SHOWN_MS);
  };
}
