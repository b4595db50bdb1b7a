(function () {
"use strict";
function all(within, what) { return Array.prototype.slice.call(within.querySelectorAll(what)); }
function value(row, k) { var c = row.cells[k]; return c.dataset.v === undefined ? c.textContent : c.dataset.v; }

all(document, "table.sorts").forEach(function (table) {
  var body = table.tBodies[0];
  all(table, "thead th").forEach(function (th, k) {
    if (th.classList.contains("fixed")) return;
    var button = document.createElement("button");
    button.type = "button";
    while (th.firstChild) button.appendChild(th.firstChild);
    th.appendChild(button);
    if (!th.hasAttribute("aria-sort")) th.setAttribute("aria-sort", "none");
    button.addEventListener("click", function () {
      var up = th.getAttribute("aria-sort") !== "ascending";
      all(table, "th[aria-sort]").forEach(function (other) { other.setAttribute("aria-sort", "none"); });
      th.setAttribute("aria-sort", up ? "ascending" : "descending");
      var numbers = all(body, "tr").every(function (row) { return !isNaN(value(row, k)); });
      all(body, "tr").sort(function (a, b) {
        var x = value(a, k), y = value(b, k), order;
        if (x === "" || y === "") return (x === "") - (y === "");
        order = numbers ? x - y : x.localeCompare(y, undefined, { numeric: true });
        return up ? order : -order;
      }).forEach(function (row) { body.appendChild(row); });
    });
  });
});

all(document, "form.filters").forEach(function (form) {
  var rows = all(document.getElementById(form.dataset.table).tBodies[0], "tr"), said = form.querySelector("output");
  function filter() {
    var words = form.elements.words.value.toLowerCase(), precision = form.elements.precision.value;
    var most = parseFloat(form.elements.below.value), shown = 0;
    rows.forEach(function (row) {
      var keep = (row.cells[1].textContent + " " + row.cells[2].textContent).toLowerCase().indexOf(words) >= 0;
      if (precision && row.cells[3].textContent !== precision) keep = false;
      if (!isNaN(most) && !(parseFloat(value(row, 4)) < most)) keep = false;
      row.hidden = !keep;
      shown += keep;
    });
    said.textContent = shown + " of " + rows.length + " layers";
  }
  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("reset", function () { setTimeout(filter); });
  form.addEventListener("submit", function (event) { event.preventDefault(); });
  filter();
});

all(document, ".view").forEach(function (view) {
  var svg = view.querySelector("svg"), tools = document.getElementById(view.dataset.tools), scale = 1, from = null;
  var width = svg.viewBox.baseVal.width, height = svg.viewBox.baseVal.height;
  function zoom(to, x, y) {
    to = Math.min(4, Math.max(0.01, to));
    var box = view.getBoundingClientRect(), by;
    x = x === undefined ? box.width / 2 : x - box.left;
    y = y === undefined ? box.height / 2 : y - box.top;
    by = to / scale;
    var left = (view.scrollLeft + x) * by - x, top = (view.scrollTop + y) * by - y;
    scale = to;
    svg.setAttribute("width", width * scale);
    svg.setAttribute("height", height * scale);
    view.scrollLeft = left;
    view.scrollTop = top;
  }
  function whole() { zoom(Math.min(view.clientWidth / width, view.clientHeight / height)); }
  var acts = { in: function () { zoom(scale * 1.3); }, out: function () { zoom(scale / 1.3); }, whole: whole,
    full: function () { zoom(1); } };
  tools.hidden = false;
  all(tools, "button").forEach(function (b) { b.addEventListener("click", acts[b.dataset.act]); });
  view.addEventListener("keydown", function (event) {
    var act = { "+": "in", "=": "in", "-": "out", "0": "whole", "1": "full" }[event.key];
    if (act && !event.ctrlKey && !event.metaKey && !event.altKey) { acts[act](); event.preventDefault(); }
  });
  view.addEventListener("wheel", function (event) {
    if (!event.ctrlKey && !event.metaKey) return;
    zoom(scale * (event.deltaY < 0 ? 1.15 : 1 / 1.15), event.clientX, event.clientY);
    event.preventDefault();
  }, { passive: false });
  view.addEventListener("pointerdown", function (event) {
    if (event.pointerType === "mouse" && event.button === 0) from = [event.clientX, event.clientY, false];
  });
  window.addEventListener("pointermove", function (event) {
    if (!from) return;
    var x = event.clientX - from[0], y = event.clientY - from[1];
    if (!from[2] && Math.abs(x) + Math.abs(y) < 5) return;
    view.scrollLeft -= x;
    view.scrollTop -= y;
    from = [event.clientX, event.clientY, true];
  });
  window.addEventListener("pointerup", function () { var moved = from && from[2]; from = null; view.dataset.moved = moved ? "1" : ""; });
  view.addEventListener("click", function (event) {
    var node = event.target.closest("[data-row]"), row = node && document.getElementById(view.dataset.rows + node.dataset.row);
    if (!row || view.dataset.moved) return;
    all(document, "tr.found").forEach(function (other) { other.classList.remove("found"); });
    row.hidden = false;
    row.classList.add("found");
    row.scrollIntoView({ block: "center" });
  });
  if (width > view.clientWidth) view.scrollLeft = (width - view.clientWidth) / 2;
});

var opened = [];
window.addEventListener("beforeprint", function () {
  opened = all(document, "details:not([open])");
  opened.forEach(function (d) { d.open = true; });
});
window.addEventListener("afterprint", function () { opened.forEach(function (d) { d.open = false; }); });
})();
