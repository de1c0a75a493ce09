"use strict";
// Filters, deep links and keys of the report. It reads the page's own text and asks the network for nothing.

const control = (name) => document.getElementById("filter-" + name);
const samples = [...document.querySelectorAll(".sample")];
const questions = [...document.querySelectorAll("details.question")];
const MOST_OPENED = 30;
let index = null;
let current = -1;

// What is searched for, read from the page once, when it is first needed.
function indexed() {
  index ??= samples.map((element) => ({
    element,
    question: element.closest("details"),
    tier: element.closest("details").dataset.tier,
    sides: [...element.querySelectorAll(".answer")].map((answer) => ({
      side: answer.dataset.side,
      text: answer.textContent.toLowerCase(),
      judged: [...answer.querySelectorAll(".judge")].map((judge) => judge.dataset),
    })),
  }));
  return index;
}

function wanted() {
  const value = (name) => control(name).value.trim();
  const limit = (name) => (value(name) === "" ? null : Number(value(name)));
  return {
    text: value("text").toLowerCase(), tier: value("tier"), side: value("side"), judge: value("judge"),
    state: value("state"), low: limit("low"), high: limit("high"),
  };
}

const asksOfJudges = (want) => want.judge !== "" || want.state !== "" || want.low !== null || want.high !== null;
const isFilter = (want) => Object.values(want).some((value) => value !== "" && value !== null);

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
  return sample.sides.some((answer) =>
    (!want.side || answer.side === want.side) &&
    (!want.text || answer.text.includes(want.text)) &&
    (!asksOfJudges(want) || answer.judged.some((judged) => fitsJudgment(judged, want))));
}

function apply() {
  const want = wanted();
  const active = isFilter(want);
  const found = new Map();
  for (const sample of active || index ? indexed() : []) {
    const fit = fits(sample, want);
    sample.element.hidden = !fit;
    if (fit) found.set(sample.question, (found.get(sample.question) ?? 0) + 1);
  }
  let opened = 0;
  for (const question of questions) {
    question.hidden = active && !found.has(question);
    if (active) question.open = !question.hidden && opened++ < MOST_OPENED;
  }
  const total = [...found.values()].reduce((sum, count) => sum + count, 0);
  const count = active ? total : samples.length;
  control("count").textContent =
    `${count.toLocaleString("en")} of ${samples.length.toLocaleString("en")} pairs of answers`;
  current = -1;
}

function clear() {
  document.getElementById("filter").reset();
  apply();
}

// ---- deep links ----------------------------------------------------------------------------------

function reveal(element) {
  for (let one = element.closest("details"); one; one = one.parentElement.closest("details")) {
    one.hidden = false;
    one.open = true;
  }
  const sample = element.closest(".sample");
  if (sample) sample.hidden = false;
  element.scrollIntoView({ block: "start" });
}

function follow() {
  const element = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (element) reveal(element);
}

// ---- keys ----------------------------------------------------------------------------------------

function step(by) {
  const shown = samples.filter((sample) => !sample.hidden && !sample.closest("details").hidden);
  if (!shown.length) return;
  current = Math.min(shown.length - 1, Math.max(0, current + by));
  document.querySelector(".sample.current")?.classList.remove("current");
  shown[current].classList.add("current");
  reveal(shown[current]);
}

function toggleAll() {
  const shown = questions.filter((question) => !question.hidden);
  const open = !shown.some((question) => question.open);
  for (const question of shown) question.open = open;
}

const KEYS = {
  "/": () => control("text").focus(),
  j: () => step(1),
  k: () => step(-1),
  o: toggleAll,
  Escape: clear,
};

document.addEventListener("keydown", (event) => {
  const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
  if (event.ctrlKey || event.metaKey || event.altKey || (typing && event.key !== "Escape")) return;
  if (!KEYS[event.key]) return;
  event.preventDefault();
  if (typing) event.target.blur();
  KEYS[event.key]();
});

let waiting = 0;
document.getElementById("filter").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(apply, 120);
});
document.getElementById("filter").addEventListener("submit", (event) => event.preventDefault());
document.getElementById("filter-clear").addEventListener("click", clear);
window.addEventListener("hashchange", follow);
document.getElementById("filter").hidden = false;
apply();
follow();
