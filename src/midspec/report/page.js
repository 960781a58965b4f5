"use strict";
// Searches the examples and switches arms; without it the page shows everything.
(() => {
  const all = (selector) => Array.from(document.querySelectorAll(selector));
  const search = document.getElementById("search");
  const value = document.getElementById("pick-value");
  const disagree = document.getElementById("only-disagree");
  const found = document.getElementById("found");
  const examples = all(".example");
  const words = examples.map((one) => one.textContent.toLowerCase());

  function show() {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let n = 0;
    examples.forEach((one, at) => {
      const card = one.classList.contains("card");
      const fits =
        wanted.every((word) => words[at].includes(word)) &&
        (!card || !value.value || one.dataset.group === value.value) &&
        (!card || !disagree.checked || one.dataset.disagree === "1");
      one.hidden = !fits;
      n += fits ? 1 : 0;
    });
    found.textContent = `${n} of ${examples.length} examples`;
  }

  function switchArms() {
    const shown = new Set(all("#pick-arms input:checked").map((box) => box.value));
    all("tr[data-arm]").forEach((row) => {
      row.hidden = !shown.has(row.dataset.arm);
    });
  }

  function every(checked) {
    all("#pick-arms input").forEach((box) => {
      box.checked = checked;
    });
    switchArms();
  }

  for (const control of [search, value, disagree]) control.addEventListener("input", show);
  document.getElementById("pick-arms").addEventListener("change", switchArms);
  document.getElementById("all-arms").addEventListener("click", () => every(true));
  document.getElementById("no-arms").addEventListener("click", () => every(false));
  document.getElementById("controls-bar").hidden = false;
  show();
})();
