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
    const checked = (name) => all(`input[name=${name}]:checked`).map((box) => box.value);
    const verdicts = checked("verdict"), tiers = checked("tier"), standing = form.elements.standing.value;
    const here = (node) => node.dataset.at.split(" ").includes(scale);
    root.dataset.scale = scale;
    for (const node of all("[data-at]")) node.classList.toggle("here", here(node));
    let count = 0, total = 0;
    for (const claim of all(".claim")) {
      const text = claim.textContent.toLowerCase(), data = claim.dataset;
      const stands = !standing || data.standing.split(" ").includes(standing);
      const keep = stands && verdicts.includes(data.verdict) && tiers.includes(data.tier) && (!kind || data.kind === kind) && words.every((word) => text.includes(word));
      claim.classList.toggle("hidden", !keep);
      if (here(claim)) { total += 1; count += keep; }
    }
    const visible = (node) => [...node.querySelectorAll(".claim")].some((c) => here(c) && !c.classList.contains("hidden"));
    const narrowed = count < total;
    for (const node of all(".experiment")) node.classList.toggle("hidden", narrowed && !visible(node));
    shown.textContent = `${count} of ${total} claims`;
  }

  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));
  for (const button of all(".count")) button.addEventListener("click", () => {
    const { verdict, tier, standing } = button.dataset;
    form.reset();
    for (const box of all("input[name=verdict]")) box.checked = box.value === verdict;
    for (const box of all("input[name=tier]")) box.checked = !tier || box.value === tier;
    form.elements.standing.value = standing;
    apply();
    form.scrollIntoView({ block: "start" });
  });
  for (const button of all(".copy")) button.addEventListener("click", async () => {
    const command = [...button.parentNode.querySelectorAll("[data-at]")].find((n) => n.dataset.at.split(" ").includes(root.dataset.scale)).textContent;
    try { await navigator.clipboard.writeText(command); button.textContent = "copied"; }
    catch { button.textContent = "select it by hand"; }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
  apply();
})();
