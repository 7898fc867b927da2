"use strict";
// The page: which video and slot are chosen, and what follows from it.

const state = { group: 0, number: -1, video: null, pointed: -1, kept: -1 };
const player = new Player(draw);
let [cards, panels] = [[], []];

// --- the lists to choose from ------------------------------------------------------------------

function listGroups() {
  study.groups.forEach(({ names }, value) => {
    const text = Object.entries(names).map(([key, name]) => `${key} ${name}`).join(", ");
    find("group").append(newElement("option", { value, textContent: text }));
  });
  find("group-choice").hidden = study.groups.length < 2;
  find("group").addEventListener("change", (event) => pickGroup(Number(event.target.value)));
}

function pickGroup(index) {
  state.group = index;
  const group = study.groups[index];
  const numbers = [...study.videos.keys()].filter((n) => study.videos[n].group === index);
  find("videos-legend").textContent =
    `Videos by ${group.ranked_by}, mean over the predictors: best, worst, and between`;
  find("videos").replaceChildren(...numbers.map(newChoice));
  player.use(group);
  pickVideo(numbers[0]);
}

function newChoice(number) {
  const { video, rank, num_ranked, score, thumbnail } = study.videos[number];
  const place = { 1: "best", [num_ranked]: "worst" }[rank] ?? `${rank} of ${num_ranked}`;
  const choice = newElement("label", { className: "video" });
  const input = newElement("input", { type: "radio", name: "video", value: number });
  input.addEventListener("change", () => pickVideo(number));
  choice.append(
    input,
    newElement("img", { src: thumbnail, alt: "" }),
    newElement("b", { textContent: `Video ${video}` }),
    newElement("span", { textContent: place }),
    newElement("span", { textContent: shown(score) }),
  );
  return choice;
}

async function pickVideo(number) {
  state.number = number;
  document.querySelector(`#videos input[value="${number}"]`).checked = true;
  const video = await loadVideo(number);
  if (state.number !== number) return; // another one was picked since
  Object.assign(state, { video, pointed: -1, kept: -1 });
  build();
  draw();
}

function stepVideo(step) {
  const inputs = [...document.querySelectorAll("#videos input")];
  const next = inputs[inputs.findIndex((input) => input.checked) + step];
  next?.closest("label").scrollIntoView({ block: "nearest", inline: "nearest" });
  if (next) pickVideo(Number(next.value));
}

// --- what is shown of a video --------------------------------------------------------------------

function build() {
  const group = study.groups[state.group];
  const { scores } = study.videos[state.number];
  const heads = [{ name: "Truth" }, ...group.predictors];
  cards = heads.map(({ name, colour }) => new Card(group, name, colour, point, keep));
  cards.slice(1).forEach((card, index) => {
    card.note.textContent = `${group.ranked_by.split(" ")[0]} ${shown(scores[index])}`;
  });
  find("cards").replaceChildren(...cards.map((card) => card.element));
  panels = group.metrics
    .filter(({ key }) => state.video.curves[key]?.flat().some((value) => value !== null))
    .map((metric) => new Panel(group, metric, state.video.curves[metric.key], seek));
  find("curves").replaceChildren(...panels.map((panel) => panel.element));
  find("slots").replaceChildren(...state.video.slot_colours.map(newSlotButton));
  showParts();
}

function newSlotButton(colour, slot) {
  const button = newElement("button", { type: "button", textContent: `Slot ${slot + 1}` });
  button.style.setProperty("--colour", `rgb(${colour})`);
  listen(button, { pointerenter: () => point(slot), pointerleave: () => point(-1) });
  listen(button, { focus: () => point(slot), blur: () => point(-1), click: () => keep(slot) });
  return button;
}

function showParts() {
  for (const { value, checked } of document.querySelectorAll(".toggles input")) {
    for (const view of document.querySelectorAll(`#cards .${value}`)) {
      view.style.display = checked ? "" : "none";
    }
  }
}

function seek(time) {
  player.seek(time);
}

/** Light a slot as long as it is pointed at; -1: none. */
function point(slot) {
  if (slot === state.pointed) return;
  state.pointed = slot;
  draw();
}

/** Light a slot until it is pressed once more. */
function keep(slot) {
  state.kept = slot === state.kept ? -1 : slot;
  draw();
}

function draw() {
  if (!state.video || study.videos[state.number].group !== state.group) return;
  const lit = state.pointed >= 0 ? state.pointed : state.kept;
  cards.forEach((card, index) => card.draw(state.video.sources[index], player.time, lit));
  panels.forEach((panel) => panel.move(player.time));
  [...find("slots").children].forEach((button, slot) => {
    button.setAttribute("aria-pressed", slot === state.kept);
    button.classList.toggle("lit", slot === lit);
  });
}

// --- keys ------------------------------------------------------------------------------------------

const KEYS = {
  " ": () => player.toggle(),
  ArrowLeft: () => player.step(-1),
  ArrowRight: () => player.step(1),
  Home: () => player.seek(0),
  End: () => player.seek(Infinity),
  p: () => stepVideo(-1),
  n: () => stepVideo(1),
  Escape: () => keep(-1),
};

// By kind of element, the keys that it has a use of its own for.
const OWN_KEYS = {
  select: /./,
  "input[type=range]": /^(Arrow|Home|End)/,
  "input[type=radio]": /^(Arrow| )/,
  "input[type=checkbox], button": /^ /,
};

function takes(element, key) {
  return Object.entries(OWN_KEYS).some(([kind, own]) => element.matches(kind) && own.test(key));
}

document.addEventListener("keydown", (event) => {
  const { key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || takes(event.target, key)) return;
  const slot = /^[1-9]$/.test(key) ? Number(key) - 1 : null;
  const isSlot = slot !== null && slot < study.groups[state.group].num_slots;
  const action = isSlot ? () => keep(slot) : KEYS[key.length === 1 ? key.toLowerCase() : key];
  if (!action) return;
  event.preventDefault();
  action();
});

document.querySelector(".toggles").addEventListener("change", showParts);

// What is written below this script is there once the document is read.
document.addEventListener("DOMContentLoaded", () => {
  listGroups();
  pickGroup(0);
});
