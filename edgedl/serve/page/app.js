"use strict";

// Two connections: /api/v1/events brings captions and state, and the newest picture is asked for
// again and again, one request at a time. A slow line therefore gets fewer pictures, never old ones.
// Ages are measured here, from what the daemon says an age was when it answered; clocks of two
// machines are never compared.

const STALE_AFTER_S = 2;
const LOST_AFTER_S = 4;
const HISTORY = 10;
const $ = (id) => document.getElementById(id);
const now = () => performance.now() / 1000;

const view = {
  stream: null, // EventSource
  heard: now(), // when the daemon last said something
  lastId: 0,
  status: null,
  frame: null, // number of the picture on the canvas
  pictureTaken: null, // when it was captured, on this page's clock
  caption: null, // {text, taken, still: when a frame was last held back as unchanged since}
  heldBack: null, // how many frames were, until now
  polling: false,
};

function seconds(age) {
  if (age < 10) return `${Math.max(0, age).toFixed(1)} s`;
  if (age < 120) return `${Math.round(age)} s`;
  if (age < 7200) return `${Math.round(age / 60)} min`;
  return `${Math.round(age / 3600)} h`;
}

function setText(id, text) {
  const element = $(id);
  if (element.textContent !== text) element.textContent = text;
}

function setTone(id, tone) {
  $(id).dataset.tone = tone;
}

// --- captions and state ---------------------------------------------------------------------

function listen() {
  if (view.stream) view.stream.close();
  view.stream = new EventSource(`/api/v1/events?since=${view.lastId}`);
  view.stream.addEventListener("status", (event) => {
    view.heard = now();
    view.status = JSON.parse(event.data);
    showStatus(view.status);
  });
  view.stream.addEventListener("caption", (event) => {
    view.heard = now();
    const caption = JSON.parse(event.data);
    view.lastId = caption.id;
    showCaption(caption);
  });
}

function showCaption(caption) {
  const changed = !view.caption || view.caption.text !== caption.text;
  view.caption = { text: caption.text, taken: now() - caption.age_s, still: -Infinity };
  if (!changed) return;
  const words = caption.text || "–";
  setText("caption", words);
  $("now").classList.remove("empty");
  $("picture").setAttribute("aria-label", `live picture: ${caption.text}`);
  const row = document.createElement("li");
  const time = document.createElement("time");
  const taken = new Date(Date.now() - 1000 * caption.age_s);
  time.dateTime = taken.toISOString();
  time.textContent = taken.toLocaleTimeString([], { hour12: false });
  const text = document.createElement("span");
  text.textContent = words;
  row.append(time, text);
  const list = $("history");
  list.prepend(row);
  while (list.children.length > HISTORY) list.lastElementChild.remove();
  $("history-empty").hidden = true;
}

const STATES = {
  CONNECTING: ["connecting", "wait"],
  LIVE: ["live", "good"],
  STALE: ["no new picture", "warn"],
  BACKOFF: ["away, trying again", "bad"],
  ENDED: ["ended", "wait"],
  FAILED: ["failed", "bad"],
};

function showStatus({ camera, model }) {
  const [word, tone] = STATES[camera.state] || [camera.state, "wait"];
  setText("source", camera.uri);
  setText("fact-state", word);
  setTone("fact-state", tone);
  const size = camera.size_hw ? `${camera.size_hw[1]} × ${camera.size_hw[0]}` : "–";
  setText("fact-picture", camera.fps ? `${size}, ${camera.fps.toFixed(1)} / s` : size);
  setText("fact-captions", model.per_s ? `${model.per_s.toFixed(1)} / s` : "–");
  setText("fact-latency", model.latency_ms === null ? "–" : `${model.latency_ms.toFixed(1)} ms`);
  setText("fact-model", model.model_hash);
  setText("fact-precision", model.precision);
  setText("fact-backend", model.backend);
  if (view.caption && view.heldBack !== null && model.held_back > view.heldBack) {
    view.caption.still = now();
  }
  view.heldBack = model.held_back;
  const trouble = camera.error && camera.state !== "LIVE" && camera.state !== "ENDED";
  $("reason").hidden = !trouble;
  if (trouble) setText("reason", camera.error);
  const waiting = camera.state === "BACKOFF" ? "The camera is away" : "Waiting for the camera…";
  setText("placeholder", waiting);
}

// --- picture ----------------------------------------------------------------------------------

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function pollPictures() {
  if (view.polling) return;
  view.polling = true;
  while (!document.hidden) {
    try {
      const after = view.frame === null ? -1 : view.frame;
      const answer = await fetch(`/api/v1/snapshot.jpg?after=${after}`, { cache: "no-store" });
      if (answer.status === 200) {
        await showPicture(answer);
      } else if (answer.status !== 204) {
        await pause(1000);
      }
    } catch {
      await pause(1000);
    }
  }
  view.polling = false;
}

async function showPicture(answer) {
  const taken = now() - Number(answer.headers.get("X-Age-Ms")) / 1000;
  const bitmap = await createImageBitmap(await answer.blob());
  const canvas = $("picture");
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
  }
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  view.frame = Number(answer.headers.get("X-Frame"));
  view.pictureTaken = taken;
  $("figure").classList.remove("waiting");
}

// --- ages -------------------------------------------------------------------------------------

function showAges() {
  const lost = now() - view.heard > LOST_AFTER_S;
  $("banner").hidden = !lost;
  document.body.classList.toggle("lost", lost);
  const state = view.status ? view.status.camera.state : "CONNECTING";
  const age = view.pictureTaken === null ? null : now() - view.pictureTaken;
  const fresh = age !== null && age <= STALE_AFTER_S;
  $("figure").classList.toggle("stale", age !== null && !fresh);
  let [word, tone] = fresh ? STATES.LIVE : STATES[state] || [state, "wait"];
  if (state === "ENDED" && !lost) [word, tone] = STATES.ENDED;
  else if (age !== null && !fresh) [word, tone] = ["STALE", "warn"];
  setText("badge-word", word);
  setTone("badge", tone);
  setText("badge-age", age === null ? "" : seconds(age));
  if (view.caption) {
    const captionAge = now() - view.caption.taken;
    const isQuiet = captionAge > STALE_AFTER_S + 1;
    const holds = now() - view.caption.still <= STALE_AFTER_S + 1;
    $("now").classList.toggle("stale", isQuiet && !holds);
    const seen = `seen ${seconds(captionAge)} ago`;
    const words = holds ? `${seen}, no motion since` : `STALE, ${seen}`;
    setText("caption-age", isQuiet ? words : seen);
  }
}

function wake() {
  if (document.hidden) {
    if (view.stream) view.stream.close();
    view.stream = null;
    return;
  }
  view.heard = now();
  if (!view.stream) listen();
  pollPictures();
}

document.addEventListener("visibilitychange", wake);
setInterval(() => {
  showAges();
  const gone = view.stream && view.stream.readyState === EventSource.CLOSED;
  if (gone && !document.hidden) listen(); // a browser does not try again after some errors
}, 200);
wake();
