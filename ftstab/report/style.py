"""The style sheet and the script of the report, inlined into the page, the box that both make scroll sideways, and
plain tables in one."""

from __future__ import annotations

from collections.abc import Sequence

from ftstab.report.escape import escape

LONG = 24
"""Longest text of a cell, in characters, that isn't broken into lines."""


def scroll_box(inner: str) -> str:
    """Return ``inner``, a `.scroll` or `.pan` element, with what shows that it is cut and where there is more."""
    return (
        '<div class="sideways"><p class="hint" aria-hidden="true">wider than the window: scroll it sideways '
        f'(Shift and wheel) \u2194</p><div class="edge">{inner}</div></div>'
    )


def plain_table(label: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of plain text that a screen reader calls ``label``."""

    def cell(text: str) -> str:
        return f'<td class="{"text wide" if len(text) > LONG else "text"}">{escape(text)}</td>'

    head = "".join(f'<th scope="col" class="text">{escape(h)}</th>' for h in headers)
    body = "".join("<tr>" + "".join(map(cell, row)) + "</tr>" for row in rows)
    return scroll_box(
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}">'
        f'<table class="plain"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


CSS = """
:root { color-scheme: light; --ink: #1a1a1a; --soft: #4d4d4d; --line: #dcdcdc; --blue: #0072B2; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 24px 64px; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .4rem; padding-top: .9rem; border-top: 1px solid var(--line); }
p { margin: .4rem 0 .8rem; max-width: 78ch; }
.question { color: var(--soft); margin-top: 0; }
.answer { font-size: 1.1rem; }
.demonstration, .statement { border-left: 4px solid var(--blue); padding: .5rem .9rem; background: #f3f8fb;
  max-width: none; }
.statement { margin: .8rem 0; } .statement p { margin: 0; max-width: none; font-weight: 600; }
.statement ul, .note ul { margin: .3rem 0 0; padding-left: 1.2rem; } .note { margin: .4rem 0 .8rem; }
details { margin-top: .8rem; } summary { cursor: pointer; font-size: .9rem; color: var(--soft); }
.demonstration { border-color: #D55E00; background: #fdf4ee; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(156px, 1fr)); gap: 12px;
  margin: 1.2rem 0; }
.facts > div { border: 1px solid var(--line); border-radius: 6px; padding: .65rem .85rem; }
.facts dt { font-size: .82rem; color: var(--soft); }
.facts dd { margin: 0; }
.facts dd b { font-size: 1.45rem; font-weight: 600; display: block; line-height: 1.25; }
.facts dd span { font-size: .85rem; color: var(--soft); display: block; }
dl { margin: 0; }
figure { margin: .6rem 0 1.4rem; }
code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .92em; }
figcaption, .note { font-size: .9rem; color: var(--soft); max-width: 90ch; }
.pan { overflow-x: auto; }
.hint { display: none; margin: 0 0 .2rem; font-size: .8rem; color: var(--blue); max-width: none; text-align: right; }
.cut > .hint { display: block; }
.edge { position: relative; }
.edge::before, .edge::after { content: ""; position: absolute; top: 0; bottom: 0; width: 22px; z-index: 4;
  pointer-events: none; opacity: 0; }
.edge::before { left: 0; background: linear-gradient(to right, rgba(0, 0, 0, .22), transparent); }
.edge::after { right: 0; background: linear-gradient(to left, rgba(0, 0, 0, .22), transparent); }
.less > .edge::before, .more > .edge::after { opacity: 1; }
.plot { width: 100%; overflow: hidden; padding-top: 28px; box-sizing: content-box; }
.plot .modebar-container { top: -28px !important; } /* above the figure: a legend may reach to its corner */
.scroll { overflow: auto; max-height: max(85vh, 1100px);
  border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: .32rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #ececec; }
th.text, td.text { text-align: left; }
td.wide { white-space: normal; min-width: 16rem; }
thead th { position: sticky; top: 0; background: #f6f6f6; padding: 0; white-space: normal;
  vertical-align: bottom; border-bottom: 1px solid #bdbdbd; }
thead th { z-index: 2; }
#outcomes :is(th, td):first-child { position: sticky; left: 0; }
#outcomes td:first-child { z-index: 1; background: #fff; box-shadow: 1px 0 0 #d0d0d0; }
#outcomes thead th:first-child { z-index: 3; }
#outcomes tr.frontier td:first-child { background: #eef6fb; } #outcomes tr.start td:first-child { background: #f6f6f6; }
.plain thead th { padding: .4rem .6rem; }
thead button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0; width: 100%;
  text-align: inherit; padding: .4rem .6rem; cursor: pointer; }
thead button:hover { background: #e9eef1; }
thead button:focus-visible { outline: 2px solid var(--blue); outline-offset: -2px; }
th[aria-sort="ascending"] button::after { content: " \\2191"; }
th[aria-sort="descending"] button::after { content: " \\2193"; }
tr.frontier td { background: #eef6fb; }
tr.start td { background: #f6f6f6; font-weight: 600; border-bottom: 1px solid #bdbdbd; }
tr.off td { color: #5c5c5c; }
td small { color: var(--soft); font-weight: 400; }
.badge { display: inline-block; min-width: 1.5em; padding: 0 .35em; border-radius: 1em;
  background: var(--blue); color: #fff; text-align: center; font-weight: 600; }
.record { display: grid; grid-template-columns: minmax(130px, 210px) 1fr; gap: .2rem 1rem; font-size: .9rem; }
.record dt { color: var(--soft); overflow-wrap: anywhere; }
.record dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 600px) { main { padding: 16px 12px 40px; } .record { grid-template-columns: 1fr; }
  .record dd { margin-bottom: .4rem; } }
@media print {
  @page { margin: 14mm; } @page wide { size: A4 landscape; margin: 10mm; }
  .scroll { page: wide; } #outcomes :is(th, td):nth-last-child(-n+2) { display: none; }
  body { font-size: 10.5pt; } main { max-width: none; padding: 0; }
  h2 { break-after: avoid; } figure, .facts > div, tr, .statement { break-inside: avoid; }
  .scroll { overflow: visible; max-height: none; border: 0; } thead th { position: static; }
  table { font-size: 5.6pt; }
  th, td, thead button { padding: .15rem .2rem; } td, th { white-space: normal; } td.wide { min-width: 0; }
  .plot { min-width: 0 !important; padding-top: 0; } .pan { overflow: visible; }
  .modebar-container, .cut > .hint, summary { display: none; } .edge::before, .edge::after { display: none; }
  #outcomes :is(th, td):first-child { position: static; box-shadow: none; }
  #outcomes { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""

SCRIPT = """
"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const config = {
    responsive: true, displaylogo: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
  };
  const plots = Object.entries(figures).map(([id, figure]) => {
    const place = document.getElementById(id);
    Plotly.newPlot(place, figure.data, figure.layout, config);
    return place;
  });
  const resize = (size) => plots.forEach((place) => Plotly.relayout(place, size));
  addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((part) => { part.open = true; });
    resize({width: 680, autosize: false});
  });
  addEventListener("afterprint", () => resize({width: null, autosize: true}));

  document.querySelectorAll(".sideways").forEach((box) => {
    const inner = box.querySelector(".scroll, .pan");
    const look = () => {
      const rest = inner.scrollWidth - inner.clientWidth;
      box.classList.toggle("cut", rest > 2);
      box.classList.toggle("more", rest - inner.scrollLeft > 2);
      box.classList.toggle("less", inner.scrollLeft > 2);
    };
    inner.addEventListener("scroll", look, {passive: true});
    const watch = new ResizeObserver(look);
    [inner, inner.firstElementChild].forEach((part) => watch.observe(part));
  });

  const table = document.getElementById("outcomes");
  if (table === null) return;
  const body = table.tBodies[1];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = (row) => row.cells[column].dataset.sort;
    const compare = (a, b) => {
      if (value(a) === "" || value(b) === "") return (value(a) === "") - (value(b) === "");
      const [x, y] = [Number(value(a)), Number(value(b))];
      const order = Number.isNaN(x) || Number.isNaN(y) ? value(a).localeCompare(value(b)) : x - y;
      return up ? order : -order;
    };
    [...body.rows].sort(compare).forEach((row) => body.append(row));
  }));
})();
"""
