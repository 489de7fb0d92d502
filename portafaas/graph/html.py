"""The picture in a page of its own, with a legend and a table; one file that needs no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from portafaas.graph.model import Edge, Graph, Node
from portafaas.graph.svg import KINDS, description, identifier, svg, title_of
from portafaas.graph.text import escape

_STYLE = """\
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5a6675;--page:#fff;--rule:#d9dfe7;--sel:#2563eb}
@media (prefers-color-scheme:dark){:root{--ink:#e8ecf2;--soft:#a3afbf;--page:#12161c;\
--rule:#2c3542;--sel:#7aa7ff}}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
header,main>section{padding:12px 24px}h1{font-size:20px;margin:0}h2{font-size:16px;margin:8px 0}
p{margin:4px 0;color:var(--soft)}
#view{position:relative;border:solid var(--rule);border-width:1px 0;\
overflow:hidden;cursor:grab;touch-action:none}
#view:focus-visible,button:focus-visible,a:focus-visible{outline:2px solid var(--sel);\
outline-offset:-2px}
#view svg{width:100%;height:100%;display:block}
#tools{position:absolute;right:12px;top:12px;display:flex;gap:4px}
button{font:inherit;min-width:34px;border:1px solid var(--rule);border-radius:6px;\
background:var(--page);color:var(--ink);padding:2px 10px}
.legend{display:flex;flex-wrap:wrap;gap:6px 18px;list-style:none;padding:0;margin:6px 0}
.legend svg{vertical-align:-3px;margin-right:6px}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;\
padding:5px 12px 5px 0;border-bottom:1px solid var(--rule)}td{overflow-wrap:anywhere}
a{color:inherit}
.pf.picked .node,.pf.picked .edge{opacity:.18}.pf.picked .near{opacity:1}
.pf .self .box{stroke-width:3}
"""

_SCRIPT = """\
(() => {
  const view = document.getElementById('view'), svg = view.querySelector('svg');
  const whole = svg.viewBox.baseVal, full = [whole.x, whole.y, whole.width, whole.height];
  let box = full.slice();
  const show = () => svg.setAttribute('viewBox', box.join(' '));
  const scale = () => Math.max(box[2] / view.clientWidth, box[3] / view.clientHeight);
  const zoom = (by, fx = .5, fy = .5) => {
    const w = Math.min(Math.max(box[2] * by, 120), full[2] * 3), f = w / box[2];
    box = [box[0] + box[2] * (1 - f) * fx, box[1] + box[3] * (1 - f) * fy, w, box[3] * f];
    show();
  };
  const move = (dx, dy) => { box[0] += dx * scale(); box[1] += dy * scale(); show(); };
  const reset = () => { box = full.slice(); show(); pick(null); };
  const pick = id => {
    svg.classList.toggle('picked', !!id);
    svg.querySelectorAll('.near,.self').forEach(e => e.classList.remove('near', 'self'));
    const node = id && document.getElementById(id);
    if (!node) { svg.classList.remove('picked'); return; }
    node.classList.add('near', 'self');
    svg.querySelectorAll('.edge').forEach(e => {
      const ends = [e.dataset.from, e.dataset.to];
      if (!ends.includes(id)) return;
      e.classList.add('near');
      ends.forEach(end => document.getElementById(end).classList.add('near'));
    });
  };
  const center = id => {
    const b = document.getElementById(id).getBBox(), g = svg.querySelector('g').transform
      .baseVal.getItem(0).matrix;
    box[0] = b.x + g.e + b.width / 2 - box[2] / 2;
    box[1] = b.y + g.f + b.height / 2 - box[3] / 2;
    show(); pick(id);
  };
  view.addEventListener('wheel', e => {
    if (!e.ctrlKey && !e.metaKey && document.activeElement !== view) return;
    e.preventDefault();
    const r = view.getBoundingClientRect();
    zoom(e.deltaY > 0 ? 1.15 : 1 / 1.15, (e.clientX - r.left) / r.width,
      (e.clientY - r.top) / r.height);
  }, {passive: false});
  let held = null, moved = false;
  view.addEventListener('pointerdown', e => { held = [e.clientX, e.clientY]; moved = false; });
  addEventListener('pointermove', e => {
    if (!held) return;
    const dx = held[0] - e.clientX, dy = held[1] - e.clientY;
    if (Math.abs(dx) + Math.abs(dy) < 3 && !moved) return;
    moved = true; held = [e.clientX, e.clientY]; move(dx, dy);
  });
  addEventListener('pointerup', e => {
    if (held && !moved && view.contains(e.target) && !e.target.closest('#tools')) {
      const node = e.target.closest('.node');
      pick(node && node.id);
    }
    held = null;
  });
  const keys = {'+': () => zoom(1 / 1.25), '=': () => zoom(1 / 1.25), '-': () => zoom(1.25),
    '0': reset, Escape: () => pick(null), ArrowLeft: () => move(-60, 0),
    ArrowRight: () => move(60, 0), ArrowUp: () => move(0, -60), ArrowDown: () => move(0, 60)};
  view.addEventListener('keydown', e => {
    if (keys[e.key] && !e.ctrlKey && !e.metaKey && !e.altKey) { e.preventDefault(); keys[e.key](); }
  });
  document.querySelectorAll('#tools button').forEach(b =>
    b.addEventListener('click', () => keys[b.dataset.key]()));
  document.querySelectorAll('a[data-node]').forEach(a => a.addEventListener('click', e => {
    e.preventDefault(); view.scrollIntoView({block: 'nearest'}); view.focus();
    center(a.dataset.node);
  }));
})();
"""


def html(graph: Graph) -> str:
    """Return the page."""
    kinds = dict.fromkeys(node.kind for node in graph.nodes)
    legend = [_swatch(kind) + escape(KINDS[kind][0]) for kind in kinds]
    legend += [f"{stroke('')}starts, or is sent", f"{stroke('4 3')}reads or writes"]
    rows = [_row(graph, node) for node in graph.nodes]
    columns = ("Kind", "Name", "From", "To", "Notes")
    return page(
        title_of(graph), [description(graph)], svg(graph, embedded=True), legend, columns, rows
    )


def page(
    title: str, about: Sequence[str], picture: str, legend: Sequence[str],
    columns: Sequence[str], rows: Sequence[str],
) -> str:  # fmt: skip
    """Return a page of one picture; *legend*, *rows* and *picture* are HTML, the rest is text."""
    title = escape(title)
    across, down = picture.split('viewBox="0 0 ', 1)[1].split('"', 1)[0].split()
    ratio = f"{float(down) / float(across):.3f}"
    return f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<header><h1>{title}</h1>{"".join(f"<p>{escape(line)}</p>" for line in about)}</header>
<main>
<div id="view" style="height:clamp(340px,calc(100vw*{ratio}),72vh)" tabindex="0" role="group" \
aria-label="Picture. Arrow keys move it, plus and minus zoom, 0 shows all of it.">
{picture}<div id="tools">
<button type="button" data-key="+" aria-label="Zoom in">+</button>
<button type="button" data-key="-" aria-label="Zoom out">&minus;</button>
<button type="button" data-key="0" aria-label="Show all">all</button>
</div>
</div>
<section>
<h2>Legend</h2>
<ul class="legend">
{"".join(f"<li>{entry}</li>" for entry in legend)}
</ul>
<p>A click on a box, or on a name below, shows what it is linked with. The picture moves by dragging
or with the arrow keys, and zooms with + and &minus;, or the wheel together with Ctrl.</p>
</section>
<section>
<h2>Everything in the picture</h2>
<table>
<thead><tr>{"".join(f'<th scope="col">{escape(column)}</th>' for column in columns)}</tr></thead>
<tbody>
{"".join(rows)}</tbody>
</table>
</section>
</main>
<script>
{_SCRIPT}</script>
</body>
</html>
"""


def _swatch(kind: str) -> str:
    return swatch(KINDS[kind][1], 55, kind in ("dead-letters", "secret"))


def swatch(hue: int, saturation: int, dashed: bool = False) -> str:
    """Return the sample of a box."""
    dashes = ' stroke-dasharray="4 2"' if dashed else ""
    return (
        '<svg width="22" height="14" aria-hidden="true"><rect x="1" y="1" width="20" height="12" '
        f'rx="3" fill="hsl({hue} {saturation}% 60% / .3)" '
        f'stroke="hsl({hue} {saturation}% 50%)"{dashes}/></svg>'
    )


def stroke(dashes: str) -> str:
    """Return the sample of a line."""
    dash = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        '<svg width="30" height="14" aria-hidden="true"><path d="M1 7H28" stroke="#8592a3" '
        f'stroke-width="1.5"{dash}/></svg>'
    )


def _row(graph: Graph, node: Node) -> str:
    came = [edge for edge in graph.edges if edge.target == node.id]
    went = [edge for edge in graph.edges if edge.source == node.id]
    cells = "".join(
        f"<td>{'<br>'.join(found) or '&ndash;'}</td>"
        for found in (
            list(_ends(came, True)), list(_ends(went, False)), [escape(n) for n in node.notes]
        )
    )  # fmt: skip
    name = f'<a href="#view" data-node="{identifier(node.id)}">{escape(node.name)}</a>'
    return f"<tr><td>{escape(KINDS[node.kind][0])}</td><th scope=\"row\">{name}</th>{cells}</tr>\n"


def _ends(edges: list[Edge], came: bool) -> Iterator[str]:
    for edge in edges:
        other = edge.source if came else edge.target
        label = f": {', '.join(edge.label)}" if edge.label else ""
        yield escape(f"{edge.kind} {other.partition(':')[2]}{label}")
