"""``portafaas graph``: what is in the picture, in every form."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from portafaas.cli import cli
from portafaas.graph import graph_of
from portafaas.graph.document import document
from portafaas.graph.html import html
from portafaas.graph.layout import Area
from portafaas.graph.mermaid import mermaid
from portafaas.graph.model import Graph
from portafaas.graph.svg import identifier, svg
from portafaas.graph.text import clean, cut, width
from portafaas.manifest.load import load_manifest
from portafaas.plan import (
    BucketPlan,
    BuildPlan,
    FunctionPlan,
    HttpTrigger,
    ObjectTrigger,
    QueuePlan,
    QueueTrigger,
    ScheduleTrigger,
    SecretPlan,
    TablePlan,
    TableTrigger,
    TopicPlan,
    TopicTrigger,
    Use,
    WorkflowPlan,
)
from portafaas.plan.build import build_plan

GOLDEN = Path(__file__).parent / "golden"
SVG = "{http://www.w3.org/2000/svg}"

MANIFEST = """\
portafaas: 1
name: small
functions:
  take: {handler: "m:f", trigger: {http: {method: [GET, POST], path: "/a/{x}"}}, uses: [{publish: news}, {write: rows}, {read: rows}, {start: flow}], emits: [a.made, a.gone]}
  work: {handler: "m:f", trigger: {queue: {name: jobs, batch: 5}}, uses: [{send: jobs}, {read: key}], guard: "counts down"}
  hear: {handler: "m:f", trigger: {topic: {name: news, filter: {type: a.made, tier: [gold, iron]}}}, uses: [{send: jobs}]}
  load: {handler: "m:f", trigger: {object: {bucket: files, prefix: in/, suffix: .csv}}, uses: [{read: files}, {write: rows}]}
  look: {handler: "m:f", trigger: {table: {name: rows}}}
  step: {handler: "m:f", trigger: {task: {}}}
  tick: {handler: "m:f", trigger: {schedule: {cron: "0 6 * * *"}}, uses: [{read: rows}]}
queues:
  jobs: {ordered: true, dead-letter: failed}
  failed: {dead-letter: true}
topics: {news: {}}
buckets: {files: {}}
tables: {rows: {key: id}}
secrets: {key: {}}
workflows: {flow: {steps: {see: {task: step}}}}
stages: {prod: {}}
"""



@pytest.fixture
def small(tmp_path: Path) -> BuildPlan:
    (tmp_path / "m.py").write_text("def f(event, context):\n    return None\n")
    (tmp_path / "portafaas.yaml").write_text(MANIFEST)
    return build_plan(load_manifest(tmp_path / "portafaas.yaml", "prod"))


#: Names that a manifest would not have, but a picture must bear.
TEXTS = st.sampled_from(
    ["a", "orders", "a-very-long-name-that-goes-on-and-on-beyond-40", "<b>&\"'</b>", "名前の長い", "]]>",
     "{x}", "a\nb", "\u0000", "\ud800", "e\u0301", "--> n1", "#quot;", "%%{init}%%"]
)  # fmt: skip


@st.composite
def plans(draw: Callable[..., Any]) -> BuildPlan:
    """Draw a plan whose references exist; cycles, loops and lonely things are likely."""

    def several(most: int) -> list[str]:
        return [f"{draw(TEXTS)}{number}" for number in range(draw(st.integers(1, most)))]

    queues, topics, tables, buckets, flows = (several(most) for most in (4, 3, 3, 2, 1))
    types = st.lists(TEXTS, max_size=6).map(tuple)
    triggers = st.one_of(
        st.builds(HttpTrigger, st.sampled_from([(), ("GET",), ("GET", "POST")]), TEXTS),
        st.builds(ScheduleTrigger, TEXTS, TEXTS),
        st.builds(QueueTrigger, st.sampled_from(queues), st.integers(1, 10)),
        st.builds(
            TopicTrigger,
            st.sampled_from(topics),
            st.one_of(st.just(()), types.map(lambda values: (("type", values),))),
        ),
        st.builds(ObjectTrigger, st.sampled_from(buckets)),
        st.builds(TableTrigger, st.sampled_from(tables)),
    )
    uses = st.one_of(
        st.builds(Use, st.just("send"), st.just("queue"), st.sampled_from(queues)),
        st.builds(Use, st.just("publish"), st.just("topic"), st.sampled_from(topics)),
        st.builds(Use, st.sampled_from(["read", "write"]), st.just("table"), st.sampled_from(tables)),
        st.builds(Use, st.sampled_from(["read", "write"]), st.just("bucket"), st.sampled_from(buckets)),
        st.builds(Use, st.just("start"), st.just("workflow"), st.sampled_from(flows)),
        st.builds(Use, st.just("read"), st.just("secret"), st.just("key")),
    )
    functions = []
    for name in several(9):
        granted = tuple(draw(st.lists(uses, max_size=5, unique=True)))
        published = [use.name for use in granted if use.verb == "publish"]
        functions.append(
            FunctionPlan(
                name, "m", "f", draw(triggers),
                uses=granted,
                emits=tuple((topic, draw(types)) for topic in published if draw(st.booleans())),
            )
        )  # fmt: skip
    dead = st.one_of(st.booleans(), st.sampled_from(queues))
    called = {
        function.name: {"kind": "task", "function": function.name, "next": None}
        for function in functions[:2]
    }
    return BuildPlan(
        draw(TEXTS), draw(TEXTS), "3.12", "x86_64", tuple(functions),
        tuple(
            QueuePlan(name, draw(st.booleans()), to if (to := draw(dead)) != name else True)
            for name in queues
        ),
        tuple(TopicPlan(name) for name in topics),
        tuple(BucketPlan(name) for name in buckets),
        tuple(TablePlan(name) for name in tables),
        (SecretPlan("key"),),
        tuple(WorkflowPlan(name, {"start": functions[0].name, "steps": called}) for name in flows),
    )  # fmt: skip


def number(element: ElementTree.Element, *names: str) -> list[float]:
    return [float(element.attrib[name]) for name in names]


def check_svg(graph: Graph, text: str) -> None:
    """Demand a well-formed picture with everything in it, where nothing covers anything."""
    root = ElementTree.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert not re.search(r"<script|href=|url\(|@import|javascript:", text)
    named = {child.attrib["id"]: child.text for child in root if "id" in child.attrib}
    assert root.attrib["aria-labelledby"].split() == list(named) == ["pf-title", "pf-desc"]
    assert all(named.values())
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    assert len(ids) == len(set(ids))
    found = {g.attrib["id"]: g for g in root.iter(f"{SVG}g") if "node" in g.attrib.get("class", "")}
    assert list(found) == [identifier(node.id) for node in graph.nodes]
    boxes: list[Area] = []
    for node in graph.nodes:
        g = found[identifier(node.id)]
        (rect,) = [r for r in g.iter(f"{SVG}rect")]
        area = Area(*number(rect, "x", "y", "width", "height"))
        caption, name = g.iter(f"{SVG}text")
        assert name.text == clean(cut(node.name, 34)) or not cut(node.name, 34).strip()
        for element, size in ((caption, 10.5), (name, 13)):
            x, y = number(element, "x", "y")
            assert area.x < x and x + width(element.text or "", size) < area.x + area.width
            assert area.y < y - size * 0.75 and y < area.y + area.height
        title = g.find(f"{SVG}title")
        assert title is not None and title.text and clean(node.name).split("\n")[0] in title.text
        boxes.append(area)
    drawn: list[str] = []
    for g in root.iter(f"{SVG}g"):
        if "data-edges" in g.attrib:
            drawn += g.attrib["data-edges"].split()
            assert g.attrib["data-from"] in found and g.attrib["data-to"] in found
            assert len(list(g.iter(f"{SVG}path"))) >= 2
        for label in g.iter(f"{SVG}text") if "data-edges" in g.attrib else ():
            x, y = number(label, "x", "y")
            boxes.append(Area(x, y - 9, width(label.text or "", 10.5), 11))
    assert sorted(drawn) == sorted(identifier(edge.id) for edge in graph.edges)
    total = number(root, "width", "height")
    for index, one in enumerate(boxes):
        assert one.x + one.width <= total[0] and one.y + one.height <= total[1]
        for other in boxes[:index]:
            assert (
                one.x >= other.x + other.width - 0.2 or other.x >= one.x + one.width - 0.2
                or one.y >= other.y + other.height - 0.2 or other.y >= one.y + one.height - 0.2
            ), (one, other)  # fmt: skip


class _Page(HTMLParser):
    """Collects ids, links to nodes and what is open at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.nodes: list[str] = []
        self.rows = 0
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("id"):
            self.ids.append(str(values["id"]))
        if "data-node" in values:
            self.nodes.append(str(values["data-node"]))
        self.rows += tag == "tr"
        for name in ("src", "href", "action"):
            if name in values and not str(values[name]).startswith("#"):
                self.outside.append(f"{tag} {name}")


def check_html(graph: Graph, text: str) -> None:
    page = _Page()
    page.feed(text)
    assert page.outside == []
    assert page.nodes == [identifier(node.id) for node in graph.nodes]
    assert set(page.nodes) <= set(page.ids) and len(page.ids) == len(set(page.ids))
    assert page.rows == len(graph.nodes) + 1
    assert text.count("<script>") == text.count("</script>") == 1


def check_mermaid(graph: Graph, text: str) -> None:
    lines = text.splitlines()
    assert lines[0] == lines[2] == "---" and lines[3] == "flowchart LR"
    node = re.compile(r"  n\d+[(\[{/]{1,2}\"[^\"]*\"[)\]}/]{1,2}:::[a-z]+")
    edge = re.compile(r"  n\d+ (-->|-\.->)(\|\"[^\"]*\"\|)? n\d+")
    style = re.compile(r"  classDef [a-z]+ [a-z0-9:(),%#-]+( 3)?")
    assert sum(bool(node.fullmatch(line)) for line in lines) == len(graph.nodes)
    assert sum(bool(edge.fullmatch(line)) for line in lines) == len(graph.edges)
    kinds = {one.kind for one in graph.nodes}
    assert sum(bool(style.fullmatch(line)) for line in lines) == len(kinds)
    assert len(lines) == 4 + len(graph.nodes) + len(graph.edges) + len(kinds)


@settings(max_examples=40, deadline=None)
@given(plans(), st.booleans())
def test_any_plan(plan: BuildPlan, everything: bool) -> None:
    graph = graph_of(plan, everything)
    assert graph == graph_of(plan, everything)
    assert len({node.id for node in graph.nodes}) == len(graph.nodes)
    text = svg(graph)
    check_svg(graph, text)
    assert text == svg(graph)
    check_html(graph, html(graph))
    check_mermaid(graph, mermaid(graph))
    made = json.loads(json.dumps(document(graph)))
    assert len(made["nodes"]) == len(graph.nodes) and len(made["edges"]) == len(graph.edges)
    kinds = {"secret"} if not everything else set()
    assert not kinds & {node.kind for node in graph.nodes}


@pytest.mark.parametrize("form", ["mermaid", "json"])
def test_as_written_down(small: BuildPlan, form: str, request: pytest.FixtureRequest) -> None:
    graph = graph_of(small)
    text = mermaid(graph) if form == "mermaid" else json.dumps(document(graph), indent=2) + "\n"
    file = GOLDEN / ("small.mmd" if form == "mermaid" else "small.json")
    if request.config.getoption("--update-golden"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert file.read_text() == text


def test_what_is_read_and_written_is_one_line(small: BuildPlan) -> None:
    text = svg(graph_of(small))
    check_svg(graph_of(small), text)
    root = ElementTree.fromstring(text)
    lines = {g.attrib["data-edges"]: g for g in root.iter(f"{SVG}g") if "data-edges" in g.attrib}
    both = " ".join(
        identifier(name)
        for name in ("function:take write table:rows", "table:rows read function:take")
    )
    assert len([p for p in lines[both].iter() if p.attrib.get("class") == "tip"]) == 2
    seen = " ".join(
        identifier(name)
        for name in ("bucket:files object function:load", "bucket:files read function:load")
    )
    assert [t.text for t in lines[seen].iter(f"{SVG}text")] == ["created in/*.csv", "and reads"]
    # A queue that its own consumer sends to: there and back.
    assert {identifier("queue:jobs consume function:work"), identifier("function:work send queue:jobs")} <= set(lines)


def test_long_lists_are_cut_short_but_told(small: BuildPlan) -> None:
    import dataclasses

    types = tuple(f"type-{number}" for number in range(9))
    first = dataclasses.replace(small.functions[0], emits=(("news", types),))
    graph = graph_of(dataclasses.replace(small, functions=(first, *small.functions[1:])))
    text = svg(graph)
    assert "and 6 more" in text and "type-3<" not in text
    assert ", ".join(types) in text


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: BuildPlan) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ["graph", *arguments], prog_name="portafaas")
    return result.exit_code, result.stdout, result.stderr


def test_command(project: Path, small: BuildPlan) -> None:
    graph = graph_of(small)
    assert run("--stage", "prod") == (0, mermaid(graph), "")
    assert json.loads(run("--stage", "prod", "--format", "json")[1]) == document(graph)
    assert run("--format", "svg", "--stage", "prod")[1] == svg(graph)
    for name in ("a.svg", "b.html", "sub/c.mmd", "d.json"):
        assert run("-o", name) == (0, f"{name}\n", "")
    assert ElementTree.parse(project / "a.svg").getroot().tag == f"{SVG}svg"
    assert (project / "b.html").read_text().startswith("<!DOCTYPE html>")
    assert (project / "sub/c.mmd").read_text().startswith("---\n")
    assert not any(n["kind"] == "secret" for n in json.loads((project / "d.json").read_text())["nodes"])
    everything = json.loads(run("--all", "--format", "json")[1])
    assert {"secret:key read function:work"} <= {edge["id"] for edge in everything["edges"]}


def test_problems(project: Path) -> None:
    assert run("-o", ".")[0] == 2
    code, out, err = run("-o", "x.png")
    assert (code, out) == (2, "") and "nothing here writes .png files" in err
    assert not (project / "x.png").exists()
    assert run("-o", "x.png", "--format", "svg")[0] == 0
    code, out, _ = run("--format", "json", "--stage", "none")
    assert code == 2 and json.loads(out)["diagnostics"][0]["code"] == "PF1007"
    code, out, err = run("-o", "portafaas.yaml/x.svg")
    assert code == 1 and "portafaas.yaml/x.svg" in err and out == ""
