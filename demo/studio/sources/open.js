// What a live source is made of: a video that plays out of sight, {video, track, release(), close()}; released, it stands
// still and holds no device any more. Each of these throws, with a
// name by which sources.js knows a sentence, where it cannot be had; nothing stays open then.

const CAMERA = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
const SCREEN = { width: { max: 1920 }, height: { max: 1920 }, frameRate: { ideal: 30 } };

export function canShareScreens() {
  return Boolean(navigator.mediaDevices?.getDisplayMedia);
}

function named(name) {
  return Object.assign(new Error(name), { name });
}

// Out of sight but on the page: some browsers decode no frame of a video that is nowhere.
async function playing(place, settle) {
  const video = document.createElement("video");
  video.className = "rv-unseen";
  video.ariaHidden = "true";
  video.muted = video.playsInline = true;
  place.append(video);
  try {
    settle(video);
    await video.play();
    if (!video.videoWidth) throw named("NotSupportedError");
  } catch (error) {
    video.remove();
    throw error;
  }
  return video;
}

async function ofStream(place, stream) {
  const end = () => stream.getTracks().forEach((track) => track.stop());
  try {
    const video = await playing(place, (video) => (video.srcObject = stream));
    const close = () => {
      end();
      video.srcObject = null;
      video.remove();
    };
    return { video, track: stream.getVideoTracks()[0], release: end, close };
  } catch (error) {
    end();
    throw error;
  }
}

export async function openCamera(place, device) {
  if (!navigator.mediaDevices?.getUserMedia) throw named("insecure");
  const wanted = device ? { ...CAMERA, deviceId: { exact: device } } : CAMERA;
  return ofStream(place, await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false }));
}

export async function openScreen(place) {
  return ofStream(place, await navigator.mediaDevices.getDisplayMedia({ video: SCREEN, audio: false }));
}

export async function openVideo(place, file) {
  const address = URL.createObjectURL(file);
  const start = (video) => {
    video.loop = true;
    video.src = address;
  };
  try {
    const video = await playing(place, start);
    const close = () => {
      video.pause();
      video.removeAttribute("src");
      video.load();
      video.remove();
      URL.revokeObjectURL(address);
    };
    return { video, close };
  } catch (error) {
    URL.revokeObjectURL(address);
    throw error;
  }
}
