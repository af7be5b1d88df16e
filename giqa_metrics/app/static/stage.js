// Phrases and boxes that belong together light up together, and a click on one is told to the app; photographs may be
// dropped and pasted too.
const light = (target) => {
  const on = target?.closest?.("[data-link]");
  for (const each of element.querySelectorAll("[data-link]")) {
    const isSame = each.dataset.link === on?.dataset.link;
    each.classList.toggle("on", isSame && (each === on || !on.dataset.box || !each.dataset.box));
  }
  element.classList.toggle("active", !!on);
};
const press = (event) => {
  const on = event.target.closest("[data-link]");
  if (on) trigger("about", { link: on.dataset.link, box: on.dataset.box === undefined ? null : Number(on.dataset.box) });
  return on;
};
const take = (event, data) => {
  const input = document.querySelector("input[type=file]:has(+ #photograph)");
  if (!input || !data?.files.length) return;
  event.preventDefault();
  input.files = data.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
};
const rename = (files) => {
  const renamed = new DataTransfer();
  for (const file of files) renamed.items.add(new File([file], "photograph", { type: file.type }));
  return renamed.files;
};
element.addEventListener("pointerover", (event) => light(event.target));
element.addEventListener("pointerleave", () => light(document.activeElement));
element.addEventListener("focusin", (event) => light(event.target));
element.addEventListener("focusout", () => light(null));
element.addEventListener("click", press);
element.addEventListener("keydown", (event) => {
  if ((event.key === "Enter" || event.key === " ") && press(event)) event.preventDefault();
});
element.addEventListener("dragover", (event) => event.preventDefault());
element.addEventListener("drop", (event) => take(event, event.dataTransfer));
document.addEventListener("paste", (event) => take(event, event.clipboardData));
// Before Gradio sees it: a file's own name is nobody's business, and Gradio shows it as HTML
const catchName = (event) => event.target.type === "file" && (event.target.files = rename(event.target.files));
document.addEventListener("change", catchName, true);
