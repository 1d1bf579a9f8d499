// Takes recordings that are to be played; what plays them is fetched with the first.

const SUFFIX = ".rearview";

export function createReplays(studio) {
  const { find } = studio;
  let player = null;

  // Whether it could be played; `words` of the recording are told to the engine, unless the page has them already.
  async function open(source, words) {
    try {
      player ??= (await import("./replaying.js")).createReplaying(studio);
    } catch {
      studio.say(studio.word("wire.no_answer"));
      return false;
    }
    return player.open(source, words);
  }

  find("open_recording").onclick = () => find("recording_file").click();
  find("recording_file").onchange = (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (file) open(file);
  };
  studio.dropping.register((file) => file.name.endsWith(SUFFIX), open);

  return { open };
}
