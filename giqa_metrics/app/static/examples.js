element.addEventListener("click", (event) => {
  const example = event.target.closest("[data-example]");
  if (example) trigger("pick", { number: Number(example.dataset.example) });
});
