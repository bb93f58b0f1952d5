"use strict";
(() => {
  const root = document.documentElement, form = document.getElementById("page.filters");
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  document.getElementById("page.theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  if (!form) return;

  // Claims, and what they say, are read once.
  const claims = all(".claim").map((node) => ({ node, data: node.dataset, at: node.dataset.at.split(" "), text: null }));
  const nodes = new Map(claims.map((claim) => [claim.node, claim]));
  const groups = all(".group").map((node) => [node, all(".claim", node).map((c) => nodes.get(c))]);
  const articles = all(".experiment").map((node) => [node, all(".claim", node).map((c) => nodes.get(c))]);
  const boxes = (name) => all(`input[name=${name}]`, form);
  const here = (claim) => claim.at.includes(root.dataset.scale);
  const seen = (claim) => here(claim) && !claim.node.classList.contains("hidden");

  function apply() {
    const { scale, kind, standing, text } = Object.fromEntries(["scale", "kind", "standing", "text"].map((n) => [n, form.elements[n].value]));
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const [verdicts, tiers] = ["verdict", "tier"].map((name) => boxes(name).filter((b) => b.checked).map((b) => b.value));
    root.dataset.scale = scale;
    let count = 0, total = 0;
    for (const claim of claims) {
      const { data, node } = claim;
      if (words.length && claim.text === null) claim.text = node.textContent.toLowerCase();
      const keep = verdicts.includes(data.verdict) && tiers.includes(data.tier) && (!kind || data.kind === kind)
        && (!standing || data.standing.split(" ").includes(standing)) && words.every((word) => claim.text.includes(word));
      node.classList.toggle("hidden", !keep);
      if (here(claim)) { total += 1; count += keep; }
    }
    const narrowed = count < total;
    for (const [node, own] of [...groups, ...articles]) node.classList.toggle("hidden", narrowed && !own.some(seen));
    document.getElementById("page.shown").textContent = `${count} of ${total} claims`;
    document.getElementById("page.empty").classList.toggle("hidden", count > 0);
  }

  // The address holds what is shown: ?scale=&verdict=&tier=&standing=&kind=&text=, and #claim where one is open.
  function told() {
    const found = new URLSearchParams();
    if (form.elements.scale.value !== form.elements.scale.options[0].value) found.set("scale", form.elements.scale.value);
    for (const name of ["verdict", "tier"]) {
      const chosen = boxes(name).filter((b) => b.checked).map((b) => b.value);
      if (chosen.length < boxes(name).length) found.set(name, chosen.join(","));
    }
    for (const name of ["standing", "kind", "text"]) if (form.elements[name].value) found.set(name, form.elements[name].value);
    return found.size ? `?${found}`.replaceAll("%2C", ",") : "";
  }
  function remember(hash = location.hash) {
    history.replaceState(null, "", `${location.pathname}${told()}${hash}`);
  }
  function recall(search) {
    const found = new URLSearchParams(search);
    for (const name of ["scale", "standing", "kind"]) {
      const options = [...form.elements[name].options].map((o) => o.value);
      form.elements[name].value = options.includes(found.get(name)) ? found.get(name) : options[0];
    }
    form.elements.text.value = found.get("text") || "";
    for (const name of ["verdict", "tier"]) {
      const chosen = found.has(name) ? found.get(name).split(",") : null;
      for (const box of boxes(name)) box.checked = !chosen || chosen.includes(box.value);
    }
    apply();
  }

  // A link to a claim opens it, at its scale and past any filter.
  function follow() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const claim = target && nodes.get(target.closest(".claim"));
    if (!claim) { if (target && target.tagName === "DETAILS") target.open = true; return; }
    if (!seen(claim)) {
      recall("");
      if (!here(claim)) { form.elements.scale.value = claim.at[0]; apply(); }
      remember();
    }
    claim.node.open = true;
    target.scrollIntoView({ block: "start" });
  }

  form.addEventListener("input", () => { apply(); remember(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { apply(); remember(); }));
  document.getElementById("page.widen").addEventListener("click", () => form.reset());
  for (const { node } of claims) node.addEventListener("toggle", () => {
    const own = `#${node.id}`;
    if (node.open) remember(own); else if (location.hash === own) remember("");
  });
  for (const link of all(".count")) link.addEventListener("click", (event) => {
    event.preventDefault();
    recall(link.search);
    remember("");
    form.scrollIntoView({ block: "start" });
  });
  addEventListener("hashchange", follow);

  // Tables are made when they are opened.
  const made = (node) => { for (const held of all("noscript", node)) held.outerHTML = held.textContent; };
  for (const node of all("details.table")) node.addEventListener("toggle", () => made(node));
  addEventListener("beforeprint", () => { for (const node of all("details")) { made(node); node.dataset.was = node.open ? "1" : ""; node.open = true; } });
  addEventListener("afterprint", () => { for (const node of all("details")) node.open = node.dataset.was === "1"; });

  const head = "part,estimate,low,high,accepted_from,accepted_to,level,runs";
  const cell = (v) => v === null ? "" : typeof v === "string" ? `"${v.replaceAll('"', '""')}"` : v;
  document.addEventListener("click", async (event) => {
    const csv = event.target.closest("a.csv"), copy = event.target.closest("button.copy");
    if (csv) {
      const lines = [head, ...JSON.parse(csv.dataset.parts).map((row) => row.map(cell).join(","))];
      csv.href = `data:text/csv;charset=utf-8,${encodeURIComponent(`${lines.join("\n")}\n`)}`;
      csv.download = `${csv.dataset.name}.csv`;
    }
    if (copy) {
      try { await navigator.clipboard.writeText(copy.parentNode.querySelector("code").textContent); copy.textContent = "copied"; }
      catch { copy.textContent = "select it by hand"; }
      setTimeout(() => { copy.textContent = "copy"; }, 1500);
    }
  });

  // What a term means, beside it, under the pointer and by keyboard; Escape takes it away.
  const tip = document.getElementById("page.tip");
  function explain(event) {
    const term = event.target.closest && event.target.closest("a.term");
    tip.hidden = !term;
    if (!term) return;
    tip.textContent = document.getElementById(term.getAttribute("aria-describedby")).textContent;
    const box = term.getBoundingClientRect();
    tip.style.top = `${scrollY + box.bottom + 6}px`;
    tip.style.left = `${Math.max(8, Math.min(box.left, innerWidth - tip.offsetWidth - 12))}px`;
  }
  for (const name of ["mouseover", "focusin"]) document.addEventListener(name, explain);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });

  recall(location.search);
  follow();
})();
