"""The page: well-formed, without scripts or requests, and with everything that the terminal says."""

import re
from html.parser import HTMLParser

import pytest

from ctkd_study.analysis.verdict import Comparison, compare
from ctkd_study.records import Provenance
from ctkd_study.report.formatting import difference, plus_minus
from ctkd_study.report.headline import headline
from ctkd_study.report.how_it_was_run import rows
from ctkd_study.report.html import page
from ctkd_study.report.notes import failures, marked_name, notes
from ctkd_study.report.sentence import sentence
from ctkd_study.spec.published import Published
from tests.support.comparisons import CASES, HISTORIES, HOSTILE, HOSTILE_LABEL
from tests.support.tabulated import history, question, quickstart, strategies

each_case = pytest.mark.parametrize("comparison", CASES.values(), ids=CASES)


class Tags(HTMLParser):
    """All tags with their attributes, the text outside of tags, and what is still open."""

    VOID = frozenset({"meta"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@each_case
def test_the_page_is_well_formed_and_needs_nothing_else(comparison: Comparison) -> None:
    parsed = Tags(page(comparison, HISTORIES))
    assert parsed.open == []
    names = {tag for tag, _ in parsed.tags}
    assert names.isdisjoint(
        {"script", "link", "img", "image", "iframe", "object", "embed", "base", "form", "foreignobject"}
    )
    for _, attributes in parsed.tags:
        assert not [name for name in attributes if name.startswith("on")]
        links = [attributes[name] or "" for name in attributes if name in ("href", "xlink:href", "src", "action")]
        assert all(link.startswith("#") for link in links)
    assert "@import" not in page(comparison, HISTORIES)
    assert "url(http" not in page(comparison, HISTORIES)
    policy = next(attributes for tag, attributes in parsed.tags if tag == "meta" and "http-equiv" in attributes)
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"


@each_case
def test_the_page_says_what_the_terminal_says(comparison: Comparison) -> None:
    parsed = Tags(page(comparison, HISTORIES))
    assert sentence(comparison) in parsed.texts
    for note in (*failures(comparison), *notes(comparison)):
        assert note in parsed.texts
    for remark in comparison.remarks:
        assert f"Warning: {remark.text}" in parsed.texts
    for summary in comparison.summaries:
        assert marked_name(summary.strategy, comparison.question.teacher) in parsed.texts
        assert plus_minus(summary.test_top1) in parsed.texts
    for pair in comparison.pairs:
        assert difference(pair.difference, pair.low, pair.high) in parsed.texts


def test_what_comes_from_a_study_is_text_and_nothing_else() -> None:
    parsed = Tags(page(CASES["battered"]))
    assert HOSTILE in parsed.texts
    assert f"{HOSTILE_LABEL} x12" in parsed.texts, "the column of what was kept"
    assert "<script" not in page(CASES["battered"])
    assert "<b>" not in page(CASES["battered"])


def test_names_in_figures_are_text_and_nothing_else() -> None:
    values = {HOSTILE: [95.0, 96.0, 97.0], "b$_1$<b>": [95.1, 96.3, 97.2]}
    comparison = compare(question(seeds=(0, 1, 2)), strategies(values))
    text = page(comparison, [history("b$_1$<b>", 0, [3.0, 4.0])])
    assert Tags(text).open == []
    assert "<script" not in text
    assert Tags(text).texts.count("b$_1$<b>") >= 4


@each_case
def test_every_reference_within_the_page_has_one_target(comparison: Comparison) -> None:
    text = page(comparison, HISTORIES)
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", text) + re.findall(r'href="#([^"]+)"', text)) <= set(ids)


def test_a_page_without_figures() -> None:
    """Everything but the style sheet, literally."""
    text = re.sub("<style>.*?</style>", "<style/>", page(CASES["empty"]), flags=re.DOTALL)
    assert text == (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<title>quickstart: verdict</title>\n<style/>\n</head>\n<body>\n<h1>quickstart</h1>\n"
        '<p class="question">Does a learned temperature save the grid search?</p>\n'
        '<p class="verdict">No verdict for quickstart yet: no seed has all trials of two strategies.</p>\n'
        '<h2>Strategies</h2>\n<div class="scroll" tabindex="0"><table>\n'
        "<caption><span>Top-1 accuracy in percent: mean over seeds, with its 95 % interval</span></caption>\n"
        '<thead><tr><th scope="col">strategy</th><th scope="col">validation (selected on)</th><th scope="col">test</th>'
        '<th scope="col" class="text">kept, by seed</th></tr></thead>\n<tbody>\n'
        '<tr><th scope="row">grid</th><td>-</td><td>-</td><td class="text">-</td></tr>\n</tbody>\n</table></div>\n'
        '<div class="scroll" tabindex="0"><table>\n'
        "<caption><span>Cost of carrying a strategy out once, and its ratio to grid at the same seeds</span></caption>"
        "\n"
        '<thead><tr><th scope="col">strategy</th><th scope="col">settings</th><th scope="col">trials</th>'
        '<th scope="col">TFLOP</th><th scope="col">ratio</th>'
        '<th scope="col">device-seconds</th><th scope="col">ratio</th></tr></thead>\n<tbody>\n'
        '<tr><th scope="row">grid</th><td>2</td><td>16</td><td>-</td><td>-</td><td>-</td><td>-</td></tr>\n'
        "</tbody>\n</table></div>\n<h2>Worst seeds and failures</h2>\n"
        '<div class="scroll" tabindex="0"><table>\n'
        "<caption><span>The worst seed of each strategy, and what failed</span></caption>\n"
        '<thead><tr><th scope="col">strategy</th><th scope="col">worst on test</th><th scope="col">failed trials</th>'
        '<th scope="col">dropped seeds</th><th scope="col">lost device-seconds</th></tr></thead>\n<tbody>\n'
        '<tr><th scope="row">grid</th><td>-</td><td>0</td><td>none</td><td>0</td></tr>\n'
        "</tbody>\n</table></div>\n<ul>\n"
        "<li>grid: 16 of 16 trials have not ended; incomplete seeds (0, 1, 2, 3, 4, 5, 6, 7) are left out.</li>\n"
        "</ul>\n"
        "<h2>Notes</h2>\n<ul>\n"
        "<li>The teacher&#x27;s own 30.0 device-seconds, its work in the trials, and evaluation are not in the cost "
        "(--charge-teacher each adds what one use of a strategy pays of them).</li>\n</ul>\n"
        "<footer></footer>\n</body>\n</html>\n"
    )


def test_each_figure_has_its_title_and_its_caption() -> None:
    text = page(CASES["quickstart"], HISTORIES)
    captions = [
        "Each strategy minus grid, paired by seed: dots are seeds, bars are intervals of the mean, and the verdict "
        "is read off the thick one. An interval right of the dashed line (-1.5) is not worse, one left of it is "
        "worse, one right of 0 is better.",
        "Mean test accuracy with its 95 % interval; further left is cheaper, further up is better.",
        "Mean over seeds, and the span of the seeds. λ scales the reversed gradient of T.",
    ]
    assert re.findall("</svg>\\s*<figcaption>(.*?)</figcaption></figure>", text) == captions
    titles = ["Strategies", "Differences", "Accuracy against cost", "Temperature"]
    titles += ["Worst seeds and failures", "Notes", "To quote"]
    assert re.findall("<h2>(.*?)</h2>", text) == titles
    assert len(re.findall('<figure><svg role="img" aria-label="', text)) == 3
    assert [re.search(f'id="{name}-', text) is not None for name in ("differences", "cost", "temperatures")] == [
        True
    ] * 3
    assert text.endswith(
        "<footer>Verdicts are read off paired t intervals over seeds: a one-sided error of 2.5 % at one look, shared "
        "by the confirmed arms together. Each exploratory arm has an error of its own. The intervals are on this test "
        "set, with this teacher and split.</footer>\n</body>\n</html>\n"
    )


def test_a_study_without_question_and_notes_has_no_place_for_them() -> None:
    asked = question(seeds=(0, 1, 2), text="", teacher=None)
    text = page(compare(asked, strategies({"grid": [95.0, 96.0, 97.0], "global": [95.1, 96.3, 97.2]})))
    assert "question" not in text.split("</style>")[1]
    assert "Notes" not in text
    published = Published(source="Li et al., AAAI 2023", student=91.5)
    found = page(quickstart(protocol="paper", published=published))
    assert "student_alone: published 91.50 / here 90.12 ± 0.45 (Li et al., AAAI 2023).</li>" in found


def test_the_headline_comes_first_then_what_it_rests_on_then_the_tables() -> None:
    text = page(CASES["until decided"], HISTORIES, provenance=Provenance(launches=3))
    said = Tags(text).texts
    places = [said.index(f"{line.claim}.") for line in headline(CASES["until decided"])]
    after = [said.index(title) for title in ("Strategies", "Differences", "Looks", "How it was run", "To quote")]
    assert places == sorted(places)
    assert places[-1] < after[0]
    assert after == sorted(after)
    assert '<li class="undecided"><strong>instance against grid' in text
    for what, value in rows(CASES["until decided"], Provenance(launches=3)):
        assert f"<dt>{what}</dt><dd>{value}</dd>" in text


def test_wide_tables_scroll_in_their_box_and_nothing_else_is_wider_than_a_phone() -> None:
    text = page(CASES["quickstart"], HISTORIES)
    style = text.split("</style>")[0]
    assert text.count('<div class="scroll" tabindex="0"><table>') == text.count("<table>") == 3
    for rule in (".scroll { overflow-x: auto; }", "svg { width: 100%;", "minmax(min(100%, 24rem), 1fr)"):
        assert rule in style
    assert "prefers-color-scheme: dark" in style
    assert 'content="width=device-width, initial-scale=1"' in text
    for points in re.findall(r'<svg [^>]*width="([0-9.]+)pt"', text):
        assert 10 * (390 - 32) / float(points) > 11, "pixels of a text of ten points on a phone"
    assert set(re.findall(r"font-size: ([0-9.]+)px", text)) == {"10"}
