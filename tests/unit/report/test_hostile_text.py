"""Text from studies and records is text in every report: no markup, no terminal codes, no links, no lines of ours."""

import dataclasses
import io
import json
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from ctkd_study.analysis import Effect
from ctkd_study.analysis.strategies import evaluate
from ctkd_study.analysis.verdict import Comparison, Remark, TeacherFacts, compare
from ctkd_study.launch.progress import ArmProgress
from ctkd_study.plan import Range
from ctkd_study.plan.estimate import ArmEstimate, Estimate
from ctkd_study.records.results import History
from ctkd_study.report import as_json, effects, figures, html, interval_figures, live_table, markdown, terminal
from ctkd_study.spec.published import Published
from tests.support.tabulated import arm, failed, history, question, trial

#: What each report makes of a hostile text.
TEXTS = {
    "[red]x[/red]": {"terminal": "[red]x[/red]", "html": "[red]x[/red]", "markdown": r"\[red\]x\[/red\]"},
    "[/no such tag]": {"terminal": "[/no such tag]", "html": "[/no such tag]", "markdown": r"\[/no such tag\]"},
    ":warning:": {"terminal": ":warning:", "html": ":warning:", "markdown": ":warning:"},
    "\x1b[31mx": {"terminal": r"\x1b[31mx", "html": r"\x1b[31mx", "markdown": r"\\x1b\[31mx"},
    "\x1b]8;;http://e\x07x": {
        "terminal": r"\x1b]8;;http://e\x07x",
        "html": r"\x1b]8;;http://e\x07x",
        "markdown": r"\\x1b\]8;;http\://e\\x07x",
    },
    "\u202efdp": {"terminal": r"\u202efdp", "html": r"\u202efdp", "markdown": r"\\u202efdp"},
    "<script>x</script>": {
        "terminal": "<script>x</script>",
        "html": "<script>x</script>",
        "markdown": "&lt;script&gt;x&lt;/script&gt;",
    },
    "[x](javascript:y)": {
        "terminal": "[x](javascript:y)",
        "html": "[x](javascript:y)",
        "markdown": r"\[x\](javascript:y)",
    },
    "![x](//h)": {"terminal": "![x](//h)", "html": "![x](//h)", "markdown": r"!\[x\](//h)"},
    "https://h WWW.h.org a@h.org": {
        "terminal": "https://h WWW.h.org a@h.org",
        "html": "https://h WWW.h.org a@h.org",
        "markdown": r"https\://h WWW\.h.org a\@h.org",
    },
}
hostile = pytest.mark.parametrize("text", TEXTS, ids=ascii)

#: Figures take long to draw: a markup, control codes, a tag.
hostile_when_drawn = pytest.mark.parametrize("text", [*TEXTS][0:1] + [*TEXTS][3:7], ids=ascii)

#: How often a comparison shows the text, at least: question, arm, label, reason, remarks, data, teacher, source.
FIELDS = 10


def comparison(text: str) -> tuple[Comparison, list[History]]:
    """A study with this in every text field; each text stands between the same two marks."""
    marked = f"<{text}>"
    arms = (arm("base"), arm(marked, marked, "T=4", fixed=True))
    results = [trial("base", "base", seed, 90, 90 + seed) for seed in range(4)]
    results += [trial(marked, marked, seed, 91, 91 + seed / 2, remarks=(marked,)) for seed in range(4)]
    results += [failed(marked, "T=4", seed, reason=f"{marked}\n- a note of its own") for seed in range(4)]
    asked = question(
        study=marked,
        seeds=(0, 1, 2, 3),
        text=marked,
        data=marked,
        teacher=TeacherFacts(marked),
        currency=marked,
        price_per_device_hour=1.0,
        published=Published(source=marked, teacher=90.0),
    )
    found = compare(asked, evaluate(arms, asked.seeds, results, "validation"))
    said = (Remark("student_guesses", marked, f"{marked} guesses", grave=True),)
    found = dataclasses.replace(found, remarks=said)
    return found, [dataclasses.replace(history(marked, seed, [3.0, 21.0]), setting=marked) for seed in range(2)]


def printed(show: Any, **options: Any) -> str:
    stream = io.StringIO()
    show(Console(file=stream, width=400, **options))
    return stream.getvalue()


@hostile
@pytest.mark.parametrize("terminal_codes", [False, True])
def test_on_a_terminal(text: str, terminal_codes: bool) -> None:
    found, _ = comparison(text)
    options: Any = {"force_terminal": True, "color_system": "standard"} if terminal_codes else {}
    shown = printed(lambda console: terminal.show(found, console), **options)
    assert shown.count(f"<{TEXTS[text]['terminal']}>") >= FIELDS
    codes = {part[: part.index("m") + 1] for part in shown.split("\x1b")[1:]}
    assert codes <= ({"[1m", "[0m"} if terminal_codes else set()), "bold titles"
    assert "\n- a note of its own" not in shown


@hostile
def test_of_a_launch_and_a_plan(text: str) -> None:
    marked = f"<{text}>"
    done: Any = SimpleNamespace(
        trials=1,
        unfinished={marked: f"{marked}\nfailed: no"},
        trained=0,
        damaged={marked: [f"{marked}\nfailed: no"]},
        failed={marked: f"{marked}\nfailed: no"},
        stopped=None,
    )
    shown = printed(lambda console: terminal.show_outcome(done, console))
    assert shown.count(f"<{TEXTS[text]['terminal']}>") == 6
    assert "\nfailed: no" not in shown
    spec = SimpleNamespace(price_per_device_hour=1.0, currency=marked, until=None)
    plan: Any = SimpleNamespace(spec=spec, trials=("a",), size=1)
    span = Range(1.0, 2.0, 3.0)
    cost: Any = {"tflop": 1.0, "device_seconds": span, "wall_seconds": span, "basis": marked}
    estimate = Estimate(
        (ArmEstimate(**cost, arm=marked, settings=1, trials=1, money=1.0),), slots=1, teacher_seconds=None
    )
    shown = printed(lambda console: terminal.show_plan(plan, estimate, [marked], console))
    assert shown.count(f"<{TEXTS[text]['terminal']}>") == 4


@hostile
def test_in_the_live_table(text: str) -> None:
    marked = f"<{text}>"
    arms = {marked: ArmProgress(finished=1)}
    troubles = {marked: f"{marked}\nfinished: no"}
    told: dict[str, Any] = {"arms": lambda: arms, "seconds_left": lambda: None, "troubles": lambda: troubles}
    progress: Any = SimpleNamespace(**told, began=0.0, device_seconds=1.0, note=marked, decisions=None)
    shown = printed(lambda console: console.print(live_table.table(progress, None)))
    assert shown.count(f"<{TEXTS[text]['terminal']}>") == 4

    def show(console: Console) -> None:
        with live_table.show_progress(progress, console, None):
            pass

    assert printed(show).count(f"<{TEXTS[text]['terminal']}>") == 4
    assert "\nfinished: no" not in printed(show)
    assert "\x1b" not in printed(show)


class Texts(HTMLParser):
    """The tags of a page, and its texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@hostile_when_drawn
def test_on_a_page(text: str) -> None:
    found, histories = comparison(text)
    page = html.page(found, histories)
    parsed = Texts(page)
    assert "\n".join(parsed.texts).count(f"<{TEXTS[text]['html']}>") >= FIELDS
    assert not parsed.tags & {"script", "a", "img"}
    assert page.isprintable() or all(char.isprintable() or char == "\n" for char in page)


@hostile_when_drawn
def test_in_figures(text: str) -> None:
    found, histories = comparison(text)
    drawn = interval_figures.differences(found), figures.accuracy_by_cost(found), figures.temperatures(found, histories)
    for name, figure in zip(("differences", "cost", "temperatures"), drawn, strict=True):
        assert figure is not None
        svg = ElementTree.fromstring(figures.svg(figure, name))
        assert f"<{TEXTS[text]['html']}>" in "".join(svg.itertext())
    of_effects = figures.svg(effects.draw([Effect("o", f"<{text}>", 0.5, -1.0, 1.0, None, False, 1)]), "effects")
    assert f"<{TEXTS[text]['html']}>" in "".join(ElementTree.fromstring(of_effects).itertext())


@hostile
def test_in_markdown(text: str) -> None:
    found, _ = comparison(text)
    document = markdown.document(found)
    wanted = TEXTS[text]["markdown"]
    assert document.count(f"&lt;{wanted}&gt;") >= FIELDS
    assert document.count("&lt;") == document.count(f"&lt;{wanted}&gt;") * f"&lt;{wanted}".count("&lt;")
    assert "\n- a note of its own" not in document
    assert f"&lt;{wanted}&gt;" in effects.table([Effect("o", f"<{text}>", 0.5, -1.0, 1.0, None, False, 1)])


@hostile
def test_in_json(text: str) -> None:
    found, _ = comparison(text)
    written = json.dumps(as_json.comparison_as_json(found))
    assert written.isascii()
    assert written.isprintable()
    assert json.loads(written)["question"] == f"<{text}>"
