// The filter of the scorecard: rows are shown whose verdict and kind are both ticked. Without scripts all are shown.
document.addEventListener("DOMContentLoaded", () => {
  const form = document.querySelector("form.claim-filter");
  if (!form) return;
  form.hidden = false;
  const boxes = [...form.querySelectorAll("input")];
  const ticked = (name) => boxes.filter((box) => box.checked && name in box.dataset).map((box) => box.dataset[name]);
  form.addEventListener("change", () => {
    const [verdicts, kinds] = [ticked("verdict"), ticked("kind")];
    for (const row of document.querySelectorAll("table.scorecard tbody tr")) {
      row.hidden = !(verdicts.includes(row.dataset.verdict) && kinds.includes(row.dataset.kind));
    }
  });
});
