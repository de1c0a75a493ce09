"use strict";
// Filters, addresses and keys of questions and answers. It reads the page's own text and asks the network for nothing.

const FILTERS = ["text", "tier", "side", "judge", "state", "low", "high"];
const control = (name) => document.getElementById("filter-" + name);
const form = document.getElementById("filter");
const questions = [...document.querySelectorAll("details.question")];
const total = questions.reduce((sum, question) => sum + Number(question.dataset.samples), 0);
const MOST_OPENED = 300;
let index = null;
let current = -1;

// ---- answers are put into the page when they are needed ----------------------------------------------

// They stand in <noscript>, which a browser that runs scripts takes for mere text: so a page of many opens at once.
const unfilled = new Set(questions);

function fill(question) {
  if (!unfilled.delete(question)) return;
  const place = question.querySelector(".samples");
  place.innerHTML = place.textContent;
}

// Question by question while nothing else is to be done, so that the browser's own search finds them all.
function fillTheRest() {
  const [next] = unfilled;
  if (!next) return;
  fill(next);
  (window.requestIdleCallback ?? setTimeout)(fillTheRest);
}

// ---- what is looked for ----------------------------------------------------------------------------

// What is searched, read from the page once, when it is first needed.
function indexed() {
  questions.forEach(fill);
  index ??= [...document.querySelectorAll(".sample")].map((element) => ({
    element,
    question: element.closest("details"),
    tier: element.closest("details").dataset.tier,
    answers: [...element.querySelectorAll(".answer")].map((answer) => ({
      side: answer.dataset.side,
      text: answer.querySelector(".text").textContent,
      reasons: [...answer.querySelectorAll(".judge")].map((judge) => judge.textContent).join("\n"),
      judged: [...answer.querySelectorAll(".judge")].map((judge) => judge.dataset),
    })),
  }));
  return index;
}

// What is chosen from a list may begin or end with blanks; what is typed is looked for without.
function value(name) {
  const { type, checked, value } = control(name);
  if (type === "checkbox") return checked ? "1" : "";
  return type === "search" ? value.trim() : value;
}

// The text as a pattern: any case, and nothing in it means anything but itself.
const pattern = (text) => new RegExp(text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "giu");

function wanted(without) {
  const chosen = Object.fromEntries(FILTERS.map((name) => [name, name === without ? "" : value(name)]));
  const limit = (text) => (text === "" ? null : Number(text));
  return {
    ...chosen, text: chosen.text && pattern(chosen.text), low: limit(chosen.low), high: limit(chosen.high),
    asksOfJudges: ["judge", "state", "low", "high"].some((name) => chosen[name] !== ""),
  };
}

function fitsJudgment(judged, want) {
  if (want.judge && judged.name !== want.judge) return false;
  if (want.state && judged.state !== want.state) return false;
  if (want.low === null && want.high === null) return true;
  if (judged.score === "") return false;
  const score = Number(judged.score);
  return (want.low === null || score >= want.low) && (want.high === null || score <= want.high);
}

function fits(sample, want) {
  if (want.tier && sample.tier !== want.tier) return false;
  return sample.answers.some((answer) =>
    (!want.side || answer.side === want.side) &&
    (!want.text || [answer.text, answer.reasons].some((text) => text.search(want.text) >= 0)) &&
    (!want.asksOfJudges || answer.judged.some((judged) => fitsJudgment(judged, want))));
}

function apply() {
  const active = FILTERS.filter(value);
  const want = wanted();
  const found = new Map();
  for (const sample of active.length || index ? indexed() : []) {
    const fit = fits(sample, want);
    sample.element.hidden = !fit;
    const isInAnswers = !want.text || sample.answers.some((answer) => answer.text.search(want.text) >= 0);
    sample.element.classList.toggle("told", fit && !isInAnswers);  // what was found is seen, in the reasons too
    if (fit) found.set(sample.question, (found.get(sample.question) ?? 0) + 1);
  }
  const count = [...found.values()].reduce((sum, count) => sum + count, 0);
  if (active.length) show(found);
  else for (const question of questions) question.hidden = false;
  say(active.length ? count : total);
  suggest(count === 0 ? active : []);
  document.getElementById("reading").classList.toggle("brief", !control("reasons").checked);
  current = -1;
  highlight();
}

// Opens the questions with answers that fit, and not so many that the page becomes slow.
function show(found) {
  let opened = 0;
  for (const question of questions) {
    question.hidden = !found.has(question);
    question.open = !question.hidden && opened < MOST_OPENED;
    opened += found.get(question) ?? 0;
  }
}

function say(count) {
  const [shown, all] = [count, total].map((number) => number.toLocaleString("en"));
  control("count").textContent = `${shown} of ${all} ${control("count").dataset.unit}`;
}

// ---- an empty result says how to widen it -----------------------------------------------------------

function suggest(active) {
  const note = control("empty");
  note.hidden = active.length === 0;
  note.replaceChildren();
  if (note.hidden) return;
  const without = active.map((name) => ({ name, count: indexed().filter((one) => fits(one, wanted(name))).length }));
  const helpful = without.filter(({ count }) => count > 0).sort((one, other) => other.count - one.count);
  note.append(helpful.length ? "No answer fits all of this. " : "No answer fits, whichever filter is left out. ");
  for (const { name, count } of helpful) {
    note.append(button(`Without ${described(name)}: ${count.toLocaleString("en")}`, [name]), " ");
  }
  note.append(button(`Without any filter: ${total.toLocaleString("en")}`, FILTERS));
}

function described(name) {
  const shown = control(name).selectedOptions?.[0].textContent ?? value(name);
  return `${control(name).getAttribute("aria-label").toLowerCase()} “${shown}”`;
}

function button(text, names) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", () => {
    drop(names);
    control(names[0]).focus();  // the button is gone
  });
  return made;
}

function drop(names) {
  for (const name of names) control(name).value = "";
  keep();
  apply();
}

// ---- the found text is marked where it stands -------------------------------------------------------

function highlight() {
  if (!globalThis.Highlight) return;
  const found = new Highlight();
  const want = wanted();
  const shown = want.text ? document.querySelectorAll("details.question[open]:not([hidden]) .sample:not([hidden])") : [];
  for (const sample of shown) {
    for (const part of sample.querySelectorAll(".text, .judge")) {
      for (const range of places(part, want.text)) found.add(range);
    }
  }
  CSS.highlights.set("found", found);
}

// Ranges over the text nodes of an element, which stays as it is.
function places(part, text) {
  const found = [...part.textContent.matchAll(text)];
  if (!found.length) return [];
  const walker = document.createTreeWalker(part, NodeFilter.SHOW_TEXT);
  const nodes = [];
  for (let start = 0; walker.nextNode(); start += walker.currentNode.length) nodes.push([walker.currentNode, start]);
  const place = (at) => {
    const [node, start] = nodes.findLast(([, start]) => start <= at);
    return [node, at - start];
  };
  return found.map((one) => {
    const range = document.createRange();
    range.setStart(...place(one.index));
    range.setEnd(...place(one.index + one[0].length));
    return range;
  });
}

// ---- addresses: #text=farm&tier=direct is a view, #eval.question.model.1 an answer -----------------------

let edited = null;

// Writes the view into the address. What is typed on in the same field replaces what was typed before.
function keep(field = null) {
  const chosen = [...FILTERS, "reasons"].filter(value).map((name) => [name, value(name)]);
  const address = location.href.split("#")[0] + (chosen.length ? "#" + new URLSearchParams(chosen) : "");
  if (address === location.href) return;
  const goesOn = field !== null && field === edited && field.tagName === "INPUT";
  history[goesOn ? "replaceState" : "pushState"](null, "", address);
  edited = field;
}

function follow() {
  const address = location.hash.slice(1);
  const view = new URLSearchParams(address.includes("=") ? address : "");
  form.reset();
  for (const name of FILTERS) {
    const known = !control(name).options || [...control(name).options].some((one) => one.value === view.get(name));
    if (known) control(name).value = view.get(name) ?? "";
  }
  control("reasons").checked = view.has("reasons");
  edited = null;
  apply();
  if (!address.includes("=")) lead(decoded(address));
}

// To a question, to an answer of one, or to nothing that is here.
function lead(id) {
  for (const question of questions) if (`${id}.`.startsWith(`${question.id}.`)) fill(question);
  const element = document.getElementById(id);
  if (element) reveal(element);
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function reveal(element) {
  for (let one = element.closest("details"); one; one = one.parentElement.closest("details")) {
    one.hidden = false;
    one.open = true;
  }
  const sample = element.closest(".sample");
  if (sample) sample.hidden = false;
  element.scrollIntoView({ block: "start" });
}

// ---- keys --------------------------------------------------------------------------------------------

function step(by) {
  questions.forEach(fill);
  const shown = document.querySelectorAll("details.question:not([hidden]) .sample:not([hidden])");
  if (!shown.length) return;
  current = Math.min(shown.length - 1, Math.max(0, current + by));
  document.querySelector(".sample.current")?.classList.remove("current");
  shown[current].classList.add("current");
  reveal(shown[current]);
  shown[current].tabIndex = -1;
  shown[current].focus({ preventScroll: true });
}

function toggleAll() {
  const shown = questions.filter((question) => !question.hidden);
  const open = !shown.some((question) => question.open);
  for (const question of shown) {
    fill(question);
    question.open = open;
  }
}

function toggleReasons() {
  control("reasons").checked = !control("reasons").checked;
  document.getElementById("reading").classList.toggle("brief", !control("reasons").checked);
  keep();
}

const KEYS = {
  "/": () => control("text").focus(),
  j: () => step(1),
  k: () => step(-1),
  o: toggleAll,
  r: toggleReasons,
  Escape: () => drop(FILTERS),
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey || (typing && event.key !== "Escape")) return;
  if (!KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
  if (event.key === "Escape") document.activeElement.blur();
});

let waiting = 0;
form.addEventListener("input", (event) => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    keep(event.target);
    apply();
  }, 120);
});
form.addEventListener("submit", (event) => event.preventDefault());
control("clear").addEventListener("click", () => drop(FILTERS));
let due = 0;
for (const question of questions) {
  question.addEventListener("toggle", () => {
    fill(question);
    cancelAnimationFrame(due);
    due = requestAnimationFrame(highlight);
  });
}
window.addEventListener("hashchange", follow);
form.hidden = false;
document.querySelector(".keys").hidden = false;
follow();
if (location.hash.includes("=")) document.getElementById("answers").scrollIntoView();
window.addEventListener("load", fillTheRest);
