"use strict";
(() => {
  const form = document.getElementById("search");
  const tree = document.getElementById("tree");
  if (form && tree) {
    const query = document.getElementById("query");
    const hits = document.getElementById("hits");
    const found = document.getElementById("found");
    const MOST = 200;
    let index = null;
    // the name of a line is its first bdi; lines that only group others have none of their own
    const build = () => {
      const paths = new Map();
      index = [];
      for (const line of tree.getElementsByTagName("li")) {
        const parent = line.parentElement.closest("li");
        const above = parent ? paths.get(parent) : "";
        if (line.className === "more") {
          paths.set(line, above);
          continue;
        }
        const first = line.firstElementChild;
        const name = first && (first.localName === "details" ? first.firstElementChild.firstElementChild : first);
        if (!name || name.localName !== "bdi") continue;
        const path = above + "/" + name.textContent;
        paths.set(line, path);
        index.push([path, path.toLowerCase(), line]);
      }
    };
    const reveal = (line) => {
      for (let at = line; at && at !== tree; at = at.parentElement) {
        if (at.localName === "details") at.open = true;
      }
      for (const old of tree.getElementsByClassName("hit")) old.classList.remove("hit");
      line.classList.add("hit");
      line.scrollIntoView({ block: "center" });
    };
    const search = () => {
      const wanted = query.value.trim().toLowerCase();
      found.replaceChildren();
      found.hidden = !wanted;
      hits.textContent = "";
      if (!wanted) return;
      if (!index) build();
      let count = 0;
      for (const [path, lower, line] of index) {
        if (!lower.includes(wanted)) continue;
        count++;
        if (count > MOST) continue;
        const item = document.createElement("li");
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = path;
        button.addEventListener("click", () => reveal(line));
        item.append(button);
        found.append(item);
      }
      hits.textContent = count === 1 ? "1 match" : count + " matches" + (count > MOST ? ", the first " + MOST + " of them" : "");
    };
    let timer = 0;
    query.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(search, 120);
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      search();
    });
    form.hidden = false;
  }
  // paper has no way to open what is closed; whole trees of files stay closed there
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("section:not(#files):not(#json) details")) details.open = true;
  });
})();
