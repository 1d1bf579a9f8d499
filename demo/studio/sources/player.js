// Play, pause and seek, for a video file as the source.

function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export function createPlayer(studio) {
  const { find, word } = studio;
  const button = find("video_play");
  const seek = find("video_seek");
  let video = null;

  function showTime() {
    // Files that were written on the fly do not know how long they are.
    const length = Number.isFinite(video.duration) ? video.duration : 0;
    seek.disabled = !length;
    seek.max = length || 1;
    seek.value = video.currentTime;
    seek.ariaValueText = find("video_time").textContent = length
      ? `${clock(video.currentTime)} / ${clock(length)}`
      : clock(video.currentTime);
  }

  function showState() {
    const sentence = word(video.paused ? "sources.play_video" : "sources.pause_video");
    button.dataset.playing = video.paused ? "no" : "yes";
    button.title = button.ariaLabel = sentence;
  }

  function toggle() {
    if (video.paused) video.play();
    else video.pause();
  }

  // `null` for a source that has nothing to play.
  function show(shown) {
    if (video) video.ontimeupdate = video.onplay = video.onpause = null;
    video = shown;
    for (const name of ["video_play", "video_seek", "video_time"]) find(name).hidden = !video;
    if (!video) return;
    video.ontimeupdate = showTime;
    video.onplay = video.onpause = showState;
    showTime();
    showState();
  }

  button.onclick = toggle;
  seek.oninput = () => (video.currentTime = Number(seek.value));
  // What comes next has little to do with what was before.
  seek.onchange = () => studio.cut();

  return { show };
}
