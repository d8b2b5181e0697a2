// Headings of a sortable table become buttons: a click sorts its rows, another one the other way round.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const headings = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const numeric = heading.classList.contains("number");
      const before = heading.getAttribute("aria-sort");
      const descending = before ? before !== "descending" : numeric;
      const value = (row) => row.cells[column].dataset.value;
      const compare = (a, b) => numeric
        ? Number(value(a)) - Number(value(b))
        : a.cells[column].textContent.localeCompare(b.cells[column].textContent);
      const known = [...body.rows].filter((row) => !numeric || value(row) !== "");
      const unknown = [...body.rows].filter((row) => numeric && value(row) === "");
      known.sort((a, b) => (descending ? compare(b, a) : compare(a, b)));
      body.append(...known, ...unknown);
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    });
  });
}
