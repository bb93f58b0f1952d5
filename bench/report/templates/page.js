"use strict";
(() => {
  const root = document.documentElement, form = document.getElementById("filters"), shown = document.getElementById("shown");
  const all = (selector) => [...document.querySelectorAll(selector)];
  root.classList.add("js");

  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  if (!form) return;

  function apply() {
    const scale = form.elements.scale.value, kind = form.elements.kind.value;
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdicts = all("input[name=verdict]:checked").map((box) => box.value);
    root.dataset.scale = scale;
    for (const node of all("[data-at]")) node.classList.toggle("here", node.dataset.at.split(" ").includes(scale));
    let count = 0, total = 0;
    for (const claim of all(".claim")) {
      const text = claim.textContent.toLowerCase(), data = claim.dataset;
      const keep = verdicts.includes(data.verdict) && (!kind || data.kind === kind) && words.every((word) => text.includes(word));
      claim.classList.toggle("hidden", !keep);
      if (data.at === scale) { total += 1; count += keep; }
    }
    const visible = (node) => [...node.querySelectorAll(".claim")].some((c) => c.dataset.at === scale && !c.classList.contains("hidden"));
    const narrowed = count < total;
    for (const node of all(".experiment")) node.classList.toggle("hidden", narrowed && !visible(node));
    shown.textContent = `${count} of ${total} claims`;
  }

  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));
  for (const button of all(".count")) button.addEventListener("click", () => {
    for (const box of all("input[name=verdict]")) box.checked = box.value === button.dataset.verdict;
    apply();
    form.scrollIntoView({ block: "start" });
  });
  for (const button of all(".copy")) button.addEventListener("click", async () => {
    const command = [...button.parentNode.querySelectorAll("[data-at]")].find((n) => n.dataset.at === root.dataset.scale).textContent;
    try { await navigator.clipboard.writeText(command); button.textContent = "copied"; }
    catch { button.textContent = "select it by hand"; }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
  apply();
})();
