"use strict";
// What is pointed at, or focused, lights up together with everything that shares an id with it.
(() => {
  const shared = (element) => {
    const ids = new Set();
    for (let each = element; each && !each.hasAttribute("data-scope"); each = each.parentElement) {
      for (const id of (each.dataset.ids || "").split(" ")) if (id) ids.add(id);
    }
    return ids;
  };

  const clear = () => {
    for (const element of document.querySelectorAll(".lit")) element.classList.remove("lit");
  };

  const light = (element) => {
    clear();
    const scope = element && element.closest("[data-scope]");
    if (!scope) return [];
    const lit = [];
    for (const id of shared(element)) {
      for (const other of scope.querySelectorAll(`[data-ids~="${id}"], [data-under~="${id}"]`)) {
        other.classList.add("lit");
        lit.push(other);
      }
    }
    return lit;
  };

  const linked = (target) => (target instanceof Element ? target.closest("[data-ids]") : null);
  const focused = () => linked(document.activeElement);

  document.addEventListener("pointerover", (event) => light(linked(event.target) || focused()));
  document.addEventListener("focusin", (event) => {
    for (const other of light(linked(event.target))) {
      if (other !== event.target && other.matches(".unit")) other.scrollIntoView({ block: "nearest" });
    }
  });
  document.addEventListener("focusout", clear);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") document.activeElement.blur();
  });
})();
