// The Markdown that a model card is written in (headings, paragraphs, lists, tables, bold, code), as elements.

import { el } from "./dom.js";

/** A list of elements; whatever is no such Markdown stays as text. */
export function rendered(markdown) {
  return markdown
    .split(/\n{2,}/)
    .map((block) => block.trim())
    .filter(Boolean)
    .map(renderedBlock);
}

function renderedBlock(block) {
  const heading = /^(#{1,4}) (.+)$/.exec(block);
  // The page has its own first heading.
  if (heading) return el(`h${heading[1].length + 1}`, {}, ...inline(heading[2]));
  const lines = block.split("\n");
  if (lines.every((line) => line.startsWith("- "))) return el("ul", {}, ...lines.map((line) => el("li", {}, ...inline(line.slice(2)))));
  if (lines.length > 1 && /^\|( *:?-+:? *\|)+$/.test(lines[1].trim())) return table(lines);
  return el("p", {}, ...inline(block));
}

function table(lines) {
  const [head, , ...rows] = lines.map(cells);
  const named = head.some(Boolean);
  const body = rows.map((row) => el("tr", {}, ...row.map((cell, place) => el(place === 0 ? "th" : "td", place === 0 ? { scope: "row" } : {}, ...inline(cell)))));
  const top = named ? el("thead", {}, el("tr", {}, ...head.map((cell) => el("th", { scope: "col" }, ...inline(cell))))) : null;
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": named ? head.join(", ") : "Table" }, el("table", {}, top, el("tbody", {}, ...body)));
}

/** What stands between bars; a bar after a backslash is text. */
function cells(line) {
  return line
    .trim()
    .replace(/^\||\|$/g, "")
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (part.length > 2 && part.startsWith("`") && part.endsWith("`")) return el("code", {}, part.slice(1, -1));
    if (part.length > 4 && part.startsWith("**") && part.endsWith("**")) return el("strong", {}, part.slice(2, -2));
    return part;
  });
}
