"use strict";

// Sorts the body of a table by the column of a button: first descending, then ascending. Names the other way round.
function sortBy(button) {
  const heading = button.closest("th");
  const table = heading.closest("table");
  const column = heading.cellIndex;
  const isName = column === 0;
  const first = isName ? "ascending" : "descending";
  const second = isName ? "descending" : "ascending";
  const order = heading.getAttribute("aria-sort") === first ? second : first;
  const sign = order === "ascending" ? 1 : -1;
  const key = (row) => {
    const cell = row.cells[column];
    return isName ? cell.textContent : cell.dataset.value === "" ? null : Number(cell.dataset.value);
  };
  const compare = (a, b) => {
    // What has no figure comes last, however it is sorted.
    if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
    return sign * (isName ? a.key.localeCompare(b.key, undefined, { numeric: true }) : a.key - b.key);
  };
  const rows = Array.from(table.tBodies[0].rows, (row) => ({ row, key: key(row) })).sort(compare);
  table.tBodies[0].append(...rows.map(({ row }) => row));
  for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", order);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("th button");
  if (button) sortBy(button);
});
