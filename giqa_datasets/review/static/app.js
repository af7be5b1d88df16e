"use strict";
// The review page. Whatever comes from the data or from people is shown by textContent alone.

const ROLES = ["question", "answer"];
const COLOURS = 8;
const STEP = 0.005; // of the image's side, for one arrow key
const CELL = 0.05;
const EDGE = 6; // pixels around the picture, for the handles of a box that ends there
const SMALLEST = 0.004; // side of a box
const TOGETHER = 800; // ms within which keystrokes are one gesture
const SIGNS = { accept: "✓", rewrite: "✎", reject: "✗", new: "+" };
const SAID = { accept: "accepted", rewrite: "rewritten", reject: "rejected", new: "new" };

const $ = (id) => document.getElementById(id);
const fields = { question: $("question"), answer: $("answer") };
const marks = { question: fields.question.previousElementSibling, answer: fields.answer.previousElementSibling };
const opened = new Map(); // models by sample id

let me = sessionStorage.getItem("giqa-review-name") ?? "";
let round = 0;
let types = [];
let samples = []; // the list, as the server gives it
let here = 0; // place in the list
let sample = null; // the model on the screen; none while it is fetched
let chosen = null; // key of the chosen phrase
let pointed = null; // the source's object whose box is shown
let box = null; // index of the selected box of the chosen phrase
let message = ""; // what goes before the hint, once
let showsGrid = false;
let lastField = "answer";
let keys = 0;

// --- the server ---------------------------------------------------------------------------------------------------

class Refused extends Error {} // what the server will refuse again
class Failed extends Error {} // what it may do later

async function ask(path, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(path, { ...options, signal: AbortSignal.timeout(10_000) });
  const answer = await response.json();
  if (response.ok) return answer;
  if (response.status >= 500 || response.status === 401) throw new Failed(answer.error);
  throw new Refused(answer.error);
}

async function patiently(path) {
  for (;;) {
    try {
      return await ask(path);
    } catch (error) {
      if (error instanceof Refused) throw error;
      hint(`${reason(error)} Trying again.`);
      await sleep(1000);
    }
  }
}

const reason = (error) => (error instanceof Failed ? `${error.message}.` : "The server does not answer.");
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const waiting = new Map(); // votes that are not saved yet, the last of each sample
const refused = new Map(); // sentences, by sample id
let isSending = false;

async function send() {
  if (isSending) return;
  isSending = true;
  while (waiting.size) {
    const [id, vote] = waiting.entries().next().value;
    try {
      await ask("/api/votes", vote);
      refused.delete(id);
      if (waiting.get(id) === vote) waiting.delete(id);
    } catch (error) {
      if (error instanceof Refused) {
        refused.set(id, error.message);
        if (waiting.get(id) === vote) waiting.delete(id);
      } else {
        showSaved(`Not saved: ${reason(error)} Trying again.`, true);
        await sleep(1000);
      }
    }
  }
  isSending = false;
  if (sample && refused.has(sample.id)) showSaved(`Not saved: ${refused.get(sample.id)}`, true);
  else if (!sample?.timer) showSaved("Saved");
}

function showSaved(text, isAlarm = false) {
  $("saved").textContent = text;
  $("saved").classList.toggle("alarm", isAlarm);
}

// --- a sample: places in its texts count UTF-16 units here, code points on the server -----------------------------

function read(state) {
  const now = { question_type: state.question_type, isRejected: false, regions: [] };
  const places = {};
  for (const role of ROLES) {
    let text = "";
    places[role] = [];
    let last = "";
    for (const point of state[role]) { // a text field has one kind of line end
      places[role].push(text.length);
      if (!(last === "\r" && point === "\n")) text += point === "\r" ? "\n" : point;
      last = point;
    }
    places[role].push(text.length);
    now[role] = text;
  }
  state.regions.forEach(({ role, span, boxes }, at) => {
    const [start, end] = span.map((place) => places[role][place]);
    now.regions.push({ key: ++keys, colour: at % COLOURS, role, start, end, boxes: structuredClone(boxes) });
  });
  return now;
}

function write(now) {
  const regions = now.regions.filter(({ boxes }) => boxes.length).map(({ role, start, end, boxes }) => {
    const [before, phrase] = [now[role].slice(0, start), now[role].slice(start, end)].map((text) => [...text]);
    return { phrase: phrase.join(""), role, span: [before.length, before.length + phrase.length], boxes };
  });
  return { question_type: now.question_type, question: now.question, answer: now.answer, regions };
}

function content(now) {
  const regions = now.regions.filter(({ boxes }) => boxes.length).map(({ role, start, end, boxes }) => [role, start, end, boxes.map(String).sort()]);
  regions.sort((a, b) => a[0].localeCompare(b[0]) || a[1] - b[1]);
  return JSON.stringify([now.question, now.answer, now.question_type, regions]);
}

const hasChanged = (model) => !model.begin || content(read(model.begin)) !== content(model.now);

function verdictOf(model) {
  if (model.now.isRejected) return "reject";
  if (!model.begin) return "new";
  return hasChanged(model) ? "rewrite" : "accept";
}

function stateOf(model) {
  const { id, image, task } = model;
  if (model.begin && !hasChanged(model)) return model.begin;
  return { id, image: image.sha256, task, ...write(model.now) };
}

const blankRole = (model) => ROLES.find((role) => !model.now[role].trim());
const sayBlank = (model) => showSaved(`Not saved yet: the ${blankRole(model)} needs words.`, true);

function keep(model, isAsked = false) {
  clearTimeout(model.timer);
  model.timer = null;
  if (!isAsked && model.verdict === null && model.begin && !hasChanged(model)) return showSaved("");
  if (blankRole(model)) return sayBlank(model);
  model.verdict = verdictOf(model);
  const entry = samples.find(({ id }) => id === model.id);
  entry.verdict = model.verdict;
  entry.begins = model.now[model.task === "des" ? "answer" : "question"].slice(0, 100);
  showSaved("Saving…");
  waiting.set(model.id, { ...stateOf(model), annotator: me, round, verdict: model.verdict, note: model.note });
  send();
}

function keepSoon(model) {
  showSaved("Saving…");
  clearTimeout(model.timer);
  model.timer = setTimeout(() => { keep(model); if (sample) draw(); }, TOGETHER / 2);
}

function settle() {
  if (sample?.timer) keep(sample);
}

function change(edit, kind = null) {
  if (!sample) return;
  const before = structuredClone(sample.now);
  edit(sample.now);
  const isMore = kind !== null && sample.last?.kind === kind && Date.now() - sample.last.at < TOGETHER;
  if (!isMore) sample.undo.push(before);
  sample.last = { kind, at: Date.now() };
  sample.redo = [];
  sample.now.isRejected = false;
  if (kind) keepSoon(sample);
  else keep(sample);
  draw();
}

function goBack(from, to) {
  if (!sample || !sample[from].length) return;
  sample[to].push(structuredClone(sample.now));
  sample.now = sample[from].pop();
  sample.last = null;
  box = null;
  keep(sample);
  draw();
}

// --- text and phrases ---------------------------------------------------------------------------------------------

const isLow = (unit) => (unit & 0xfc00) === 0xdc00; // the second half of a code point

function retext(now, role, value, caret) {
  const old = now[role];
  const most = Math.min(old.length, value.length);
  let tail = 0;
  while (tail < Math.min(most, value.length - caret) && old.at(-1 - tail) === value.at(-1 - tail)) tail++;
  let start = 0;
  while (start < most - tail && old[start] === value[start]) start++;
  if (tail && isLow(old.charCodeAt(old.length - tail))) tail--;
  if (start && isLow(old.charCodeAt(start))) start--;
  const stop = old.length - tail;
  const more = value.length - old.length;
  now[role] = value;
  now.regions = now.regions.filter((region) => {
    if (region.role !== role || region.end <= start) return true;
    if (region.start >= stop) {
      region.start += more;
      region.end += more;
    } else if (region.start <= start && stop <= region.end) {
      region.end += more;
    } else if (region.start < start) {
      region.end = start;
    } else {
      region.start = stop + more;
      region.end += more;
    }
    return value.slice(region.start, region.end).trim() !== "";
  });
}

const phraseOf = (region) => sample.now[region.role].slice(region.start, region.end);
const find = (key) => sample?.now.regions.find((region) => region.key === key) ?? null;

function wordsSelected() {
  const field = fields[lastField];
  let [start, end] = [field.selectionStart, field.selectionEnd];
  const isWord = (unit) => unit !== undefined && /[\p{L}\p{N}\p{M}'’_-]|[\ud800-\udfff]/u.test(unit);
  if (start === end) {
    while (start > 0 && isWord(field.value[start - 1])) start--;
    while (isWord(field.value[end])) end++;
  }
  while (start < end && /\s/.test(field.value[start])) start++;
  while (end > start && /\s/.test(field.value[end - 1])) end--;
  return [start, end];
}

function link() {
  const [start, end] = wordsSelected();
  if (start === end) return say("Select the words first, in the question or the answer.");
  const there = sample.now.regions.find((region) => region.role === lastField && region.start < end && start < region.end);
  if (there) return choose(there.key);
  if (/[[\]]/.test(fields[lastField].value.slice(start, end))) return say("A phrase holds no brackets.");
  const used = new Set(sample.now.regions.map(({ colour }) => colour));
  const free = [...Array(COLOURS).keys()].find((colour) => !used.has(colour)) ?? sample.now.regions.length % COLOURS;
  const role = lastField;
  chosen = ++keys;
  box = null;
  change((now) => now.regions.push({ key: chosen, colour: free, role, start, end, boxes: [] }));
  $("stage").focus({ preventScroll: true });
}

function choose(key, which = null) {
  chosen = key;
  box = which;
  if (key !== null && document.activeElement !== fields.question && document.activeElement !== fields.answer) {
    $("stage").focus({ preventScroll: true });
  }
  draw();
}

function removePhrase(key) {
  if (chosen === key) chosen = box = null;
  change((now) => { now.regions = now.regions.filter((region) => region.key !== key); });
}

// --- boxes --------------------------------------------------------------------------------------------------------

const rounded = (value) => Math.round(Math.min(Math.max(value, 0), 1) * 1e5) / 1e5;

function addBox(xyxy) {
  const region = find(chosen);
  if (!region) return say("Choose a phrase first: click it in the list or press its number; or select words and press Ctrl+B.");
  box = region.boxes.length;
  change(() => region.boxes.push(xyxy.map(rounded)));
}

function newBox() {
  const shift = 0.03 * ((find(chosen)?.boxes.length ?? 0) % 8);
  addBox([0.4 + shift, 0.4 + shift, 0.6 + shift, 0.6 + shift]);
}

function removeBox() {
  const region = find(chosen);
  if (!region) return;
  if (box === null) {
    if (!region.boxes.length) removePhrase(chosen);
    return;
  }
  const at = box;
  box = null;
  change(() => region.boxes.splice(at, 1));
}

function nudge(dx, dy, { isResize, isCell }) {
  const region = find(chosen);
  const step = isCell ? CELL : STEP;
  const [x1, y1, x2, y2] = region.boxes[box];
  const within = (low, value, high) => Math.min(Math.max(value, low), high);
  const moved = isResize
    ? [x1, y1, within(x1 + STEP, x2 + dx * step, 1), within(y1 + STEP, y2 + dy * step, 1)]
    : ((mx, my) => [x1 + mx, y1 + my, x2 + mx, y2 + my])(within(-x1, dx * step, 1 - x2), within(-y1, dy * step, 1 - y2));
  change(() => { region.boxes[box] = moved.map(rounded); }, `nudge ${chosen} ${box}`);
}

function cycle(step) {
  const all = sample.now.regions.flatMap(({ key, boxes }) => boxes.map((_, at) => [key, at]));
  const at = all.findIndex(([key, which]) => key === chosen && which === (box ?? 0));
  const next = at < 0 ? (step > 0 ? 0 : all.length - 1) : box === null ? at : at + step;
  if (next < 0 || next >= all.length) return false; // Tab goes on to what follows the picture
  choose(...all[next]);
  return true;
}

// --- boxes that were corrected in a description, for the same words in the picture's questions -----------------------

const wordsOf = (now, { role, start, end }) => now[role].slice(start, end).toLowerCase();
const isDescription = ({ task, question_type }) => (task ?? question_type) === "des"; // of a model, of an entry of the list

function offers() {
  if (isDescription(sample)) return [];
  const changed = [...opened.values()].filter((other) => isDescription(other) && other.image.sha256 === sample.image.sha256 && other.begin && !other.now.isRejected);
  return sample.now.regions.flatMap((region) => {
    const words = wordsOf(sample.now, region);
    const boxesIn = (now) => now.regions.filter((one) => wordsOf(now, one) === words).flatMap(({ boxes }) => boxes);
    return changed.flatMap(({ begin, now }) => {
      const [before, after] = [boxesIn(read(begin)), boxesIn(now)];
      return after.length && String(before) === String(region.boxes) && String(after) !== String(before) ? [[region, after]] : [];
    }).slice(0, 1);
  });
}

function takeOffers() {
  const offered = offers();
  if (!offered.length) return say("No box of these words was corrected in a description.");
  change(() => { for (const [region, boxes] of offered) region.boxes = structuredClone(boxes); });
}

async function fetchDescriptions({ image }) {
  const missing = samples.filter((entry) => isDescription(entry) && entry.image.sha256 === image.sha256 && !opened.has(entry.id));
  await Promise.all(missing.map((entry) => fetchSample(entry, patiently)));
}

// --- the picture --------------------------------------------------------------------------------------------------

const stage = new Konva.Stage({ container: "stage", width: 10, height: 10 });
const ground = new Konva.Layer({ listening: false, x: EDGE, y: EDGE });
const layer = new Konva.Layer({ x: EDGE, y: EDGE });
const band = new Konva.Rect({ stroke: "#fff", strokeWidth: 1.5, dash: [6, 4], listening: false, visible: false });
stage.add(ground, layer);
let [wide, high] = [1, 1]; // of the picture, in pixels of the screen
let drag = null; // where a drag on the picture began

function fit() {
  if (!sample?.pixels) return;
  const { width, height } = sample.image;
  const scale = Math.min(($("area").clientWidth - 2 * EDGE) / width, ($("area").clientHeight - 2 * EDGE) / height);
  [wide, high] = [width, height].map((side) => Math.max(1, Math.floor(side * scale)));
  stage.size({ width: wide + 2 * EDGE, height: high + 2 * EDGE });
  drawGround();
  drawBoxes();
}

function drawGround() {
  ground.destroyChildren();
  ground.add(new Konva.Image({ image: sample.pixels, width: wide, height: high }));
  for (let line = 1; showsGrid && line < 1 / CELL; line++) {
    const [x, y] = [line * CELL * wide, line * CELL * high];
    for (const [stroke, shift] of [["rgb(0 0 0 / 45%)", 1], ["rgb(255 255 255 / 55%)", 0]]) {
      ground.add(new Konva.Line({ points: [x + shift, 0, x + shift, high], stroke, strokeWidth: 1 }));
      ground.add(new Konva.Line({ points: [0, y + shift, wide, y + shift], stroke, strokeWidth: 1 }));
    }
  }
}

function drawBoxes() {
  if (Konva.isDragging() || Konva.isTransforming()) return;
  const style = getComputedStyle(document.documentElement);
  band.remove();
  layer.destroyChildren();
  const ordered = sample.now.regions.map((region, at) => [region, at]);
  ordered.sort(([a], [b]) => (a.key === chosen) - (b.key === chosen)); // the chosen phrase on top
  for (const [region, at] of ordered) {
    const colour = style.getPropertyValue(`--c${region.colour}`).trim();
    const isChosen = region.key === chosen;
    region.boxes.forEach(([x1, y1, x2, y2], which) => {
      const isSelected = isChosen && which === box;
      const place = { x: x1 * wide, y: y1 * high, width: (x2 - x1) * wide, height: (y2 - y1) * high };
      const faint = { opacity: chosen === null || isChosen ? 1 : 0.4 };
      layer.add(new Konva.Rect({ ...place, ...faint, stroke: "rgb(0 0 0 / 60%)", strokeWidth: 4.5, listening: false, visible: !isSelected }));
      const rect = new Konva.Rect({ ...place, ...faint, stroke: colour, strokeWidth: 2.5, strokeScaleEnabled: false, listening: isSelected, draggable: isSelected });
      if (isChosen) rect.fill(`${colour}26`);
      layer.add(rect);
      const tag = new Konva.Label({ x: place.x, y: place.y, ...faint, listening: false, visible: !isSelected });
      tag.add(new Konva.Tag({ fill: colour }), new Konva.Text({ text: String(at + 1), fontSize: 11, fontStyle: "bold", padding: 3, fill: "#000" }));
      layer.add(tag);
      if (isSelected) grip(rect, region, which, colour);
    });
  }
  if (pointed) {
    const [x1, y1, x2, y2] = pointed.box;
    layer.add(new Konva.Rect({ x: x1 * wide, y: y1 * high, width: (x2 - x1) * wide, height: (y2 - y1) * high, stroke: "#fff", strokeWidth: 2.5, dash: [6, 4], shadowColor: "#000", shadowBlur: 3, listening: false }));
  }
  layer.add(band);
}

function grip(rect, region, which, colour) {
  rect.dragBoundFunc(({ x, y }) => ({
    x: Math.min(Math.max(x, EDGE), EDGE + wide - rect.width()),
    y: Math.min(Math.max(y, EDGE), EDGE + high - rect.height()),
  }));
  const handles = new Konva.Transformer({
    nodes: [rect], rotateEnabled: false, flipEnabled: false, keepRatio: false, ignoreStroke: true, anchorSize: 9,
    anchorStroke: "#000", anchorFill: colour, borderStroke: "#fff", borderDash: [4, 4],
    boundBoxFunc: (old, wanted) => {
      const [left, top] = [Math.max(wanted.x, EDGE), Math.max(wanted.y, EDGE)];
      const [right, bottom] = [Math.min(wanted.x + wanted.width, EDGE + wide), Math.min(wanted.y + wanted.height, EDGE + high)];
      if (right - left < SMALLEST * wide || bottom - top < SMALLEST * high) return old;
      return { ...wanted, x: left, y: top, width: right - left, height: bottom - top };
    },
  });
  rect.on("dragend transformend", () => {
    const [x, y, w, h] = [rect.x(), rect.y(), rect.width() * rect.scaleX(), rect.height() * rect.scaleY()];
    change(() => { region.boxes[which] = [x / wide, y / high, (x + w) / wide, (y + h) / high].map(rounded); });
  });
  layer.add(handles);
}

const pointer = () => {
  const { x, y } = stage.getPointerPosition();
  return { x: Math.min(Math.max(x - EDGE, 0), wide), y: Math.min(Math.max(y - EDGE, 0), high) };
};

stage.on("pointerdown", (event) => {
  if (!sample || event.target !== stage || event.evt.button > 0) return; // a selected box and its handles move themselves
  $("stage").focus({ preventScroll: true });
  drag = pointer();
  const colour = find(chosen)?.colour;
  band.stroke(colour === undefined ? "#fff" : getComputedStyle(document.documentElement).getPropertyValue(`--c${colour}`).trim());
});

window.addEventListener("pointermove", (event) => {
  if (!drag) return;
  stage.setPointersPositions(event);
  const { x, y } = pointer();
  band.setAttrs({ x: Math.min(x, drag.x), y: Math.min(y, drag.y), width: Math.abs(x - drag.x), height: Math.abs(y - drag.y), visible: true });
});

window.addEventListener("pointerup", (event) => {
  if (!drag) return;
  stage.setPointersPositions(event);
  const [from, to] = [drag, pointer()];
  drag = null;
  band.visible(false);
  const xyxy = [Math.min(from.x, to.x) / wide, Math.min(from.y, to.y) / high, Math.max(from.x, to.x) / wide, Math.max(from.y, to.y) / high];
  if (Math.hypot(to.x - from.x, to.y - from.y) < 5) return choose(...smallestAt(to.x / wide, to.y / high));
  if (xyxy[2] - xyxy[0] > SMALLEST && xyxy[3] - xyxy[1] > SMALLEST) addBox(xyxy);
});

window.addEventListener("pointercancel", () => {
  drag = null;
  band.visible(false);
});

function smallestAt(x, y) {
  let [found, least] = [[box === null ? null : chosen, null], Infinity]; // beside all boxes: let go of the box, then of the phrase
  for (const { key, boxes } of sample.now.regions) {
    boxes.forEach(([x1, y1, x2, y2], at) => {
      const area = (x2 - x1) * (y2 - y1) * (key === chosen ? 0.999 : 1);
      if (x1 <= x && x <= x2 && y1 <= y && y <= y2 && area < least) [found, least] = [[key, at], area];
    });
  }
  return found;
}

// --- what is on the screen ----------------------------------------------------------------------------------------

function node(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  Object.assign(made, attributes);
  made.append(...children);
  return made;
}

function hint(...parts) {
  $("next").replaceChildren(...parts);
}

function say(text) {
  message = text;
  drawHint();
}

const named = (text) => node("bdi", { textContent: `“${text.length > 60 ? `${text.slice(0, 60)}…` : text}”` });

function drawHint() {
  if (!sample) return;
  if (message) {
    hint(message);
    message = "";
    return;
  }
  const region = find(chosen);
  const done = samples.filter(({ verdict }) => verdict).length;
  const go = done === samples.length ? "All samples have your vote: you are done. Go back to any with k or the list." : "Press j for the next sample.";
  if (document.activeElement === fields.question || document.activeElement === fields.answer) {
    hint("Change the words. Select some and press Ctrl+B to tie them to boxes. Esc leaves the text.");
  } else if (region && box !== null) {
    hint("The box is ", named(phraseOf(region)), ": drag it or its handles, or use the arrow keys; Shift+arrows resize; Del deletes; Esc lets go.");
  } else if (region && !region.boxes.length) {
    hint("Now drag a box around ", named(phraseOf(region)), " on the picture, or press b for one to move with the arrow keys.");
  } else if (region) {
    hint("Drag on the picture to add a box for ", named(phraseOf(region)), "; click a box to change it, or Tab from box to box. Esc lets go.");
  } else if (offers().length) {
    hint("You corrected the boxes of ", named(phraseOf(offers()[0][0])), " in the description. Press d to take them here, too.");
  } else if (sample.verdict === "reject") {
    hint(`Rejected: it will be left out. Press a to take it back in. ${go}`);
  } else if (sample.verdict === "accept") {
    hint(`Accepted as it stands. ${go}`);
  } else if (sample.verdict === "rewrite") {
    hint(`Your version is saved. Go on changing it, or ${done === samples.length ? "stop: every sample has your vote." : "press a for the next sample without your vote."}`);
  } else if (sample.verdict === "new") {
    hint(`Your new question is saved. ${go}`);
  } else if (!sample.begin) {
    hint("Write a question (q) and its answer (e); then select words and press Ctrl+B to tie them to boxes.");
  } else {
    hint("Look at the picture, read the text, check the boxes. All right? Press a. Wrong? Correct the text (e) or the boxes (1–9, or click one). No use? Press r.");
  }
}

function drawMarks(role) {
  const text = sample.now[role];
  const pieces = [];
  let last = 0;
  for (const region of sample.now.regions.filter((one) => one.role === role).sort((a, b) => a.start - b.start)) {
    pieces.push(text.slice(last, region.start));
    const isChosen = region.key === chosen ? " chosen" : "";
    pieces.push(node("mark", { className: `c${region.colour}${isChosen}`, textContent: text.slice(region.start, region.end) }));
    last = region.end;
  }
  marks[role].dir = "auto";
  marks[role].replaceChildren(...pieces, text.slice(last), "\u200b");
}

function drawPhrases() {
  const items = sample.now.regions.map((region, at) => {
    const { key, colour, role, boxes } = region;
    const count = boxes.length === 0 ? "needs a box" : boxes.length === 1 ? "1 box" : `${boxes.length} boxes`;
    const pick = node("button", { className: `c${colour}`, onclick: () => choose(key) },
      node("span", { textContent: at + 1 }), node("bdi", { textContent: phraseOf(region) }),
      node("span", { className: boxes.length ? "soft" : "alarm", textContent: count, title: `in the ${role}` }));
    pick.setAttribute("aria-pressed", key === chosen);
    const remove = node("button", { textContent: "×", title: "Untie the words and delete their boxes", onclick: () => removePhrase(key) });
    return node("li", {}, pick, remove);
  });
  const none = node("li", { className: "empty", textContent: "None. Select words above and press Ctrl+B." });
  $("phrases").replaceChildren(...(items.length ? items : [none]));
}

function drawObjects() {
  const point = (object) => () => { pointed = object; if (sample.pixels) drawBoxes(); };
  const items = (sample.objects ?? []).map((object) => node("li", { tabIndex: 0, onmouseenter: point(object), onfocus: point(object), onmouseleave: point(null), onblur: point(null) }, node("bdi", { textContent: object.name })));
  $("objects").replaceChildren(...items);
  $("said").hidden = !items.length;
}

function drawList() {
  const items = [];
  let last = null;
  samples.forEach((entry, at) => {
    if (entry.image.sha256 !== last) items.push(node("li", { className: "of" }, node("bdi", { textContent: entry.image.id })));
    last = entry.image.sha256;
    const state = node("span", { className: `state ${entry.verdict ?? ""}`, textContent: SIGNS[entry.verdict] ?? "○", title: SAID[entry.verdict] ?? "no vote yet" });
    const button = node("button", { onclick: () => open(at) }, state, node("bdi", { textContent: entry.begins || "New question" }));
    if (entry.id === sample?.id) button.setAttribute("aria-current", "true");
    items.push(node("li", {}, button));
  });
  $("samples").replaceChildren(...items);
  const done = samples.filter(({ verdict }) => verdict).length;
  $("progress").max = Math.max(1, samples.length);
  $("progress").value = done;
  $("count").textContent = `${done} of ${samples.length}`;
}

function draw() {
  const { now } = sample;
  if (!find(chosen)) chosen = box = null;
  else if (box !== null && box >= find(chosen).boxes.length) box = null;
  for (const role of ROLES) {
    if (fields[role].value !== now[role]) fields[role].value = now[role];
    drawMarks(role);
  }
  if ($("note").value !== sample.note) $("note").value = sample.note;
  $("type").value = now.question_type;
  $("type").disabled = sample.task === "des";
  $("verdict").textContent = SAID[sample.verdict] ?? "no vote yet";
  $("verdict").className = sample.verdict ?? "soft";
  $("accept").firstChild.textContent = sample.begin && !hasChanged(sample) ? "Accept " : "Done, next ";
  $("undo").disabled = !sample.undo.length;
  $("redo").disabled = !sample.redo.length;
  $("box").disabled = chosen === null;
  $("delete").disabled = box === null;
  $("grid").setAttribute("aria-pressed", showsGrid);
  $("stage").classList.toggle("drawing", chosen !== null);
  drawPhrases();
  drawList();
  drawHint();
  if (sample.pixels) drawBoxes();
  askGrounded();
}

let groundedTimer = null;
let groundedTurn = 0;

function askGrounded() {
  clearTimeout(groundedTimer);
  const mine = ++groundedTurn;
  if (blankRole(sample)) return showGrounded([`The ${blankRole(sample)} needs words.`]);
  groundedTimer = setTimeout(async () => {
    try {
      const { question, answer } = await ask("/api/grounded", stateOf(sample));
      if (mine === groundedTurn) showGrounded([question, answer]);
    } catch (error) {
      if (mine !== groundedTurn) return;
      showGrounded([error instanceof Refused ? error.message : reason(error)], true);
      if (!(error instanceof Refused)) groundedTimer = setTimeout(() => sample && askGrounded(), 1000);
    }
  }, 120);
}

function showGrounded(lines, isAlarm = false) {
  $("grounded").classList.toggle("alarm", isAlarm);
  $("grounded").replaceChildren(...lines.map((line) => node("p", { dir: "auto", textContent: line })));
}

// --- from sample to sample ----------------------------------------------------------------------------------------

let turn = 0;

async function open(at) {
  if (at < 0 || at >= samples.length || (sample && at === here)) return;
  settle();
  if (sample && !sample.begin && ROLES.every((role) => !sample.now[role].trim()) && sample.verdict === null) {
    samples.splice(here, 1); // a new question that was never written
    opened.delete(sample.id);
    if (at > here) at--;
  }
  const mine = ++turn;
  here = at;
  clearTimeout(groundedTimer);
  groundedTurn++;
  document.activeElement.blur();
  sample = null;
  try {
    if (!opened.has(samples[at].id)) await fetchSample(samples[at], patiently);
    await fetchDescriptions(samples[at]);
    if (mine !== turn) return;
    show(opened.get(samples[at].id));
    await showPixels(mine);
    const next = samples[at + 1];
    if (next && mine === turn && !opened.has(next.id)) await fetchSample(next, ask).catch(() => {}); // asked again when it is opened
  } catch (error) {
    hint(error.message);
  }
}

async function fetchSample(entry, by) {
  const { begin, vote, objects } = await by(`/api/sample?${new URLSearchParams({ annotator: me, id: entry.id })}`);
  if (!opened.has(entry.id)) opened.set(entry.id, { ...model(entry, begin, vote), objects });
}

function model(entry, begin, vote) {
  const now = read(vote ?? begin);
  now.isRejected = vote?.verdict === "reject";
  const { task } = vote ?? begin;
  return { id: entry.id, image: entry.image, task, begin, now, note: vote?.note ?? "", verdict: vote?.verdict ?? null, undo: [], redo: [], timer: null, last: null, pixels: null };
}

function show(next) {
  sample = next;
  chosen = box = drag = pointed = null;
  const { id, image } = sample;
  history.replaceState(null, "", `#${encodeURIComponent(id)}`);
  $("position").textContent = `Sample ${here + 1} of ${samples.length}`;
  $("picture").textContent = `${image.id} · ${image.width} × ${image.height}`;
  $("type").replaceChildren(...types.filter((type) => (type === "des") === (sample.task === "des")).map((type) => node("option", { value: type, textContent: type.replace("_", "/") })));
  $("grounded").replaceChildren();
  drawObjects();
  $("stage").ariaBusy = "true";
  ground.destroyChildren();
  layer.destroyChildren();
  if (refused.has(id)) showSaved(`Not saved: ${refused.get(id)}`, true);
  else if (sample.undo.length && blankRole(sample)) sayBlank(sample);
  else if (!waiting.size && $("saved").classList.contains("alarm")) showSaved("");
  draw();
  $("samples").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
}

async function showPixels(mine) {
  const shown = sample;
  while (!shown.pixels && mine === turn) {
    const pixels = new Image();
    pixels.src = `/images/${shown.image.sha256}`;
    try {
      await pixels.decode();
      shown.pixels = pixels;
    } catch {
      hint("The picture does not come. Trying again.");
      await sleep(1000);
    }
  }
  if (mine !== turn) return;
  fit();
  $("stage").ariaBusy = "false";
  drawHint();
  const next = samples.slice(here).find(({ image }) => image.sha256 !== shown.image.sha256);
  if (next) new Image().src = `/images/${next.image.sha256}`;
}

function openNext() {
  const after = [...samples.keys()].slice(here + 1).concat([...samples.keys()].slice(0, here));
  const next = after.find((at) => !samples[at].verdict);
  if (next === undefined) draw();
  else open(next);
}

function accept() {
  settle();
  if (sample.now.isRejected) change((now) => now); // which takes it back in
  keep(sample, true);
  chosen = box = null;
  if (blankRole(sample)) draw();
  else openNext();
}

function reject() {
  settle();
  if (blankRole(sample)) return sayBlank(sample);
  sample.undo.push(structuredClone(sample.now));
  sample.redo = [];
  sample.now.isRejected = true;
  keep(sample, true);
  openNext();
}

function add() {
  settle();
  const start = `${sample.image.id}-new-${me}-`;
  const taken = samples.map(({ id }) => (id.startsWith(start) ? Number(id.slice(start.length)) : 0));
  const entry = { id: `${start}${Math.max(0, ...taken) + 1}`, image: sample.image, question_type: "what", begins: "", verdict: null };
  const at = samples.findLastIndex(({ image }) => image.sha256 === sample.image.sha256) + 1;
  samples.splice(at, 0, entry);
  opened.set(entry.id, model(entry, null, { task: "vqa", question_type: "what", question: "", answer: "", regions: [] }));
  opened.get(entry.id).verdict = null;
  open(at);
  fields.question.focus();
}

// --- keys and buttons ---------------------------------------------------------------------------------------------

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const COMMANDS = {
  a: accept, r: reject, j: () => open(here + 1), k: () => open(here - 1), n: () => $("note").focus(),
  e: () => fields.answer.focus(), q: () => fields.question.focus(), g: toggleGrid, b: newBox, d: takeOffers, "?": () => $("keys").showModal(),
  "+": add, Delete: removeBox, Backspace: removeBox, Escape: () => choose(box === null ? null : chosen),
};

function toggleGrid() {
  showsGrid = !showsGrid;
  if (sample?.pixels) drawGround();
  draw();
}

document.addEventListener("keydown", (event) => {
  if (event.isComposing || $("keys").open || $("app").hidden || (!sample && !"jk?".includes(event.key))) return;
  const { key } = event;
  const isControl = event.ctrlKey || event.metaKey;
  const isText = document.activeElement.matches("input, textarea, select");
  const isEditor = document.activeElement === fields.question || document.activeElement === fields.answer;
  let command = null;
  if (isControl && !event.altKey) {
    const letter = key.toLowerCase();
    if (letter === "b" && (isEditor || !isText)) command = link;
    if (isText && !isEditor) return; // the browser's own
    if (letter === "z") command = event.shiftKey ? () => goBack("redo", "undo") : () => goBack("undo", "redo");
    if (letter === "y") command = () => goBack("redo", "undo");
  } else if (isText) {
    if (key === "Escape") command = () => { document.activeElement.blur(); drawHint(); };
  } else if (key === "Tab" && document.activeElement === $("stage") && !event.altKey) {
    if (cycle(event.shiftKey ? -1 : 1)) event.preventDefault();
  } else if (key in ARROWS) {
    const [dx, dy] = ARROWS[key];
    command = box === null ? () => open(here + dx + dy) : () => nudge(dx, dy, { isResize: event.shiftKey, isCell: event.altKey });
  } else if (/^[1-9]$/.test(key)) {
    command = () => { const region = sample.now.regions[key - 1]; if (region) choose(region.key); };
  } else if (Object.hasOwn(COMMANDS, key) && !event.altKey && !(event.repeat && "ar".includes(key))) {
    command = COMMANDS[key];
  }
  if (!command) return;
  event.preventDefault();
  command();
});

for (const role of ROLES) {
  const field = fields[role];
  field.addEventListener("input", (event) => {
    change((now) => retext(now, role, field.value, field.selectionEnd), `${role} ${event.inputType}`);
  });
  field.addEventListener("beforeinput", (event) => {
    if (!event.inputType.startsWith("history")) return; // the browser's own undo knows nothing of the boxes
    event.preventDefault();
    goBack(...(event.inputType === "historyUndo" ? ["undo", "redo"] : ["redo", "undo"]));
  });
  field.addEventListener("focus", () => { lastField = role; drawHint(); });
  field.addEventListener("blur", () => { settle(); if (sample) drawHint(); });
  field.addEventListener("click", () => {
    const at = field.selectionStart;
    const there = at === field.selectionEnd && sample.now.regions.find((region) => region.role === role && region.start <= at && at <= region.end);
    if (there) choose(there.key);
  });
}

document.addEventListener("selectionchange", () => {
  const field = fields[lastField];
  $("link").disabled = !sample || field.selectionStart === field.selectionEnd;
});
for (const id of ["link", "undo", "redo"]) $(id).addEventListener("pointerdown", (event) => event.preventDefault()); // the text keeps the focus

$("note").addEventListener("input", () => {
  if (!sample) return;
  sample.note = $("note").value;
  if (sample.verdict) keepSoon(sample);
  else showSaved("The note is saved with your vote: press Esc, then a or r.");
});
$("note").addEventListener("blur", settle);
$("type").addEventListener("change", () => change((now) => { now.question_type = $("type").value; }));
const BUTTONS = {
  accept, reject, add, link, box: newBox, delete: removeBox, grid: toggleGrid, help: COMMANDS["?"], on: COMMANDS.j, back: COMMANDS.k,
  undo: () => goBack("undo", "redo"), redo: () => goBack("redo", "undo"),
};
for (const [id, command] of Object.entries(BUTTONS)) $(id).addEventListener("click", () => sample && command());

new ResizeObserver(fit).observe($("area"));
window.addEventListener("beforeunload", (event) => {
  settle();
  if (waiting.size) event.preventDefault();
});

// --- the beginning ------------------------------------------------------------------------------------------------

async function begin(name) {
  await ask("/api/claim", { annotator: name, key: $("key").value.trim() });
  const found = await ask(`/api/round?${new URLSearchParams({ annotator: name })}`);
  me = name;
  sessionStorage.setItem("giqa-review-name", me);
  ({ round, samples } = found);
  types = found.question_types;
  $("who").textContent = `round ${round} · ${me}`;
  $("welcome").hidden = true;
  $("app").hidden = false;
  const wanted = samples.findIndex(({ id }) => `#${encodeURIComponent(id)}` === location.hash);
  const first = samples.findIndex(({ verdict }) => !verdict);
  if (samples.length) await open(wanted >= 0 ? wanted : Math.max(first, 0));
  else hint("This folder has no samples to review.");
}

$("welcome").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("refused").textContent = "";
  try {
    await begin($("name").value.trim());
  } catch (error) {
    $("refused").textContent = error.message;
    $("claimed").hidden = !(error instanceof Failed);
    if (error instanceof Failed) $("key").focus();
  }
});

(async () => {
  if (location.hash.startsWith("#token=")) {
    const token = location.hash.slice("#token=".length);
    history.replaceState(null, "", "/");
    await ask("/api/enter", { token }).catch((error) => { $("refused").textContent = error.message; });
  }
  if (me && (await begin(me).then(() => true, () => false))) return;
  $("welcome").hidden = false;
  $("name").focus();
})();
