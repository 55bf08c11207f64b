// An answer as a picture: a score against its threshold, quantiles, an order; and the reasons.

import { el, shown } from "./dom.js";
import { fanChart } from "./fan.js";

const TOLD = new Set(["score", "decision", "threshold", "forecast", "quantiles", "class", "probabilities", "reasons", "model", "request_id"]);

/** What to show of an answer's content. `told`: task, unit, threshold and names of outcomes, as the document has them. */
export function drawAnswer(content, told) {
  // The model may have changed since.
  const facts = { ...told, threshold: content.threshold };
  const list = Object.entries(content).find(([name, value]) => Array.isArray(value) && name !== "reasons");
  if (!list) return drawOne(content, facts);
  const entries = list[1];
  const note = content.known === false ? el("p", { class: "notice" }, "This key is not known: the default answers.") : null;
  const until = content.as_of ? el("p", { class: "quiet" }, `As of ${content.as_of}`) : null;
  const chart = entries.length > 1 && entries.every((one) => one.quantiles) ? fanChart(entries, stepOf(entries)) : null;
  return el("div", {}, note, chart, drawList(entries, facts), until);
}

function drawOne(content, facts) {
  const parts = [];
  if (content.quantiles) parts.push(drawInterval(content));
  else if (content.probabilities) parts.push(drawClasses(content));
  else if (content.decision !== undefined) parts.push(drawDecision(content, facts));
  else if (content.score !== undefined) parts.push(el("p", { class: "figure" }, shown(content.score)));
  if (content.reasons) parts.push(drawReasons(content.reasons, facts.unit));
  return el("div", {}, ...parts);
}

/** The likeliest class, and a bar for each. */
function drawClasses(content) {
  const rows = Object.entries(content.probabilities).sort(([, a], [, b]) => b - a).map(([name, share]) => {
    const fill = el("span", { class: name === content.class ? "fill reached" : "fill" });
    fill.style.setProperty("width", percent(share));
    const line = el("div", { class: "entry" }, el("span", { class: "what" }, name), el("span", { class: "number" }, shown(share)));
    return el("li", {}, line, el("div", { class: "bar thin", "aria-hidden": "true" }, fill));
  });
  const verdict = el("span", { class: "verdict" }, `probability ${shown(content.score)}`);
  return el("div", { class: "score" }, el("p", { class: "figure" }, content.class, verdict), el("ol", { class: "entries", "aria-label": "Classes" }, ...rows));
}

/** What a decision is called, and a bar on a scale that ends where threshold and score can both be seen. */
function drawDecision({ score, decision, threshold }, facts) {
  const most = end(Math.max(score, threshold));
  const fill = el("span", { class: decision ? "fill reached" : "fill" });
  const mark = el("span", { class: "mark" });
  fill.style.setProperty("width", percent(score / most));
  mark.style.setProperty("left", percent(threshold / most));
  const side = threshold / most > 0.5 ? "before" : "after";
  const verdict = el("span", { class: decision ? "verdict reached" : "verdict" }, `probability of ${called(true, facts)}: ${shown(score, 3)}`);
  const label = el("span", { class: `mark-label ${side}` }, `threshold ${shown(threshold)}`);
  label.style.setProperty(side === "after" ? "left" : "right", percent(side === "after" ? threshold / most : 1 - threshold / most));
  return el(
    "div",
    { class: "score" },
    el("p", { class: "figure" }, called(decision, facts), verdict),
    el("div", { class: "bar", role: "img", "aria-label": `Probability ${shown(score)} of ${shown(most)}, threshold ${shown(threshold)}` }, fill, mark),
    el("div", { class: "scale", "aria-hidden": "true" }, el("span", {}, "0"), label, el("span", {}, shown(most))),
  );
}

function drawInterval({ forecast, quantiles }) {
  const levels = Object.entries(quantiles).sort(([a], [b]) => a - b);
  const [low, high] = [levels[0], levels.at(-1)];
  const [from, to] = [low[1], high[1]];
  const room = (to - from || Math.abs(forecast) || 1) * 0.3;
  const at = (value) => percent((value - from + room) / (to - from + 2 * room));
  const band = el("span", { class: "band" });
  band.style.setProperty("left", at(from));
  band.style.setProperty("right", percent(1 - (to - from + room) / (to - from + 2 * room)));
  const dots = levels.map(([level, value]) => {
    const dot = el("span", { class: Number(level) === 0.5 ? "dot middle" : "dot", title: `${level}: ${shown(value)}` });
    dot.style.setProperty("left", at(value));
    return dot;
  });
  return el(
    "div",
    { class: "score" },
    el("p", { class: "figure" }, shown(forecast), el("span", { class: "verdict" }, "median")),
    el("div", { class: "bar", role: "img", "aria-label": levels.map(([level, value]) => `${level}: ${shown(value)}`).join(", ") }, band, ...dots),
    el("div", { class: "scale" }, el("span", {}, `${share(low[0])} below ${shown(from)}`), el("span", {}, `${share(1 - high[0])} above ${shown(to)}`)),
  );
}

function drawList(entries, facts) {
  const sizes = entries.map(sizeOf);
  const least = Math.min(0, ...sizes);
  const most = facts.threshold === undefined ? Math.max(0, ...sizes) : end(Math.max(facts.threshold, ...sizes));
  const along = (value) => percent((value - least) / (most - least || 1));
  const rows = entries.map((one, place) => drawEntry(one, place, facts, along));
  return el("ol", { class: facts.task === "ranking" ? "entries ranked" : "entries", tabindex: "0", "aria-label": "Answers" }, ...rows);
}

function drawEntry(one, place, facts, along) {
  const fill = el("span", { class: one.decision ? "fill reached" : "fill" });
  fill.style.setProperty("width", along(sizeOf(one)));
  const mark = facts.threshold === undefined ? null : el("span", { class: "mark" });
  mark?.style.setProperty("left", along(facts.threshold));
  const { name, rest } = nameOf(one);
  const verdict = one.decision === undefined ? (one.class ?? "") : called(one.decision, facts);
  const interval = one.quantiles ? ` (${Object.values(one.quantiles).map((value) => shown(value, 3)).join(" · ")})` : verdict && ` · ${verdict}`;
  const why = one.reasons?.length ? el("details", {}, el("summary", {}, "Reasons"), drawReasons(one.reasons, facts.unit)) : null;
  const what = el("span", { class: "what" }, name || (rest ? "" : `row ${place}`), el("span", { class: "quiet" }, name && rest ? ` · ${rest}` : rest));
  const number = el("span", { class: "number" }, shown(sizeOf(one)), el("span", { class: "quiet" }, interval));
  return el("li", {}, el("div", { class: "entry" }, what, number), el("div", { class: "bar thin", "aria-hidden": "true" }, fill, mark), why);
}

/** A decision in the words of the use case. */
function called(decision, facts) {
  return facts.outcomes?.[decision] ?? (decision ? "yes" : "no");
}

function sizeOf(one) {
  return one.score ?? one.forecast ?? 0;
}

/** Signed bars around a middle: what raised the score goes right, what lowered it left. */
export function drawReasons(reasons, unit) {
  const most = Math.max(...reasons.map((one) => Math.abs(one.contribution)), Number.MIN_VALUE);
  const rows = reasons.map(({ feature, value, contribution }) => {
    const fill = el("span", { class: contribution < 0 ? "signed lowers" : "signed raises" });
    fill.style.setProperty("width", percent(Math.abs(contribution) / most / 2));
    return el(
      "li",
      {},
      el("div", { class: "entry" }, el("span", { class: "what" }, feature, el("span", { class: "quiet" }, ` = ${shown(value)}`)), el("span", { class: "number" }, `${contribution < 0 ? "−" : "+"}${shown(Math.abs(contribution), 3)}`)),
      el("div", { class: "bar thin around", "aria-hidden": "true" }, fill),
    );
  });
  return el("div", { class: "reasons" }, el("h3", {}, "What weighed most"), el("ul", {}, ...rows), el("p", { class: "quiet" }, `Contributions in ${unit}: right raises, left lowers.`));
}

/** What an entry is about: its texts as the name, its numbers as the rest. */
function nameOf(entry) {
  const told = Object.entries(entry).filter(([name, value]) => !TOLD.has(name) && value !== null);
  const words = told.filter(([, value]) => typeof value === "string").map(([, value]) => value.replace(/T00:00:00$/, ""));
  const numbers = told.filter(([, value]) => typeof value !== "string").map(([name, value]) => `${name} ${shown(value)}`);
  return { name: words.join(" · "), rest: numbers.join(" · ") };
}

/** The first whole number of each entry that rises from one to the next. */
function stepOf(entries) {
  const names = Object.keys(entries[0]).filter((name) => !TOLD.has(name));
  const rises = (name) => entries.every((one, place) => place === 0 || one[name] > entries[place - 1][name]);
  return names.find((name) => typeof entries[0][name] === "number" && rises(name));
}

/** 1, or a round number that leaves a small score room. */
function end(value) {
  if (value > 0.4) return Math.max(1, value);
  const power = 10 ** Math.floor(Math.log10(2 * value || 0.01));
  return [1, 2, 5, 10].map((times) => times * power).find((round) => round >= 2 * value);
}

function percent(part) {
  return `${(100 * Math.min(1, Math.max(0, part))).toFixed(2)}%`;
}

function share(level) {
  return `${shown(100 * Number(level), 3)} %`;
}
