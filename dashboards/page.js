"use strict";
// The page is complete without this: it only shows one target at a time, swaps scores and differences, spells out the
// cell under the pointer, and copies. It runs in a sandboxed frame, so it keeps nothing and asks for nothing.
document.documentElement.classList.add("js");
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

all(".toggle button").forEach((button) => button.addEventListener("click", () => {
  const section = button.closest("section");
  section.dataset.view = button.dataset.show;
  all(".toggle button", section).forEach((one) => one.setAttribute("aria-pressed", String(one === button)));
}));

const chooser = document.querySelector(".chooser select");
if (chooser) {
  const show = () => all(".panel").forEach((panel) => { panel.hidden = panel.dataset.panel !== chooser.value; });
  chooser.addEventListener("change", show);
  show();
}

all("#matrix .heat").forEach((table) => {
  const line = document.querySelector("#matrix .detail");
  const spell = (event) => {
    const cell = event.target.closest("[title]");
    if (cell) { line.textContent = cell.title; line.classList.add("live"); }
  };
  table.addEventListener("pointerover", spell);
  table.addEventListener("click", spell);
});

// A language cell is named by its row and column; the names are put together only when they are wanted.
all("#languages .heat").forEach((table) => table.addEventListener("pointerover", (event) => {
  const cell = event.target.closest("td:not(.average)");
  if (!cell || cell.title) return;
  const column = table.tHead.rows[0].cells[cell.cellIndex].title;
  const numbers = (kind) => [...cell.querySelector(kind).childNodes].map((node) => node.textContent).join(" / ");
  const row = cell.parentElement;
  const apart = cell.closest(".baseline, .scores") ? "" : ", " + numbers(".difference") + " against the baseline";
  cell.title = row.cells[0].textContent.trim() + "; " + column + ": " + numbers(".absolute") + apart;
}));

all(".copyable").forEach((box) => {
  const button = box.querySelector("button"), text = box.querySelector("pre");
  button.addEventListener("click", async () => {
    // A sandboxed frame may refuse the clipboard; the older way works there, and failing that the text is selected.
    getSelection().selectAllChildren(text);
    let done = false;
    try { await navigator.clipboard.writeText(text.textContent); done = true; } catch { done = document.execCommand("copy"); }
    button.textContent = done ? "Copied" : "Selected";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
});

addEventListener("beforeprint", () => all("details").forEach((one) => { one.open = true; }));
