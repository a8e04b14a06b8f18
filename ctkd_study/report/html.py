"""A comparison as one HTML page that needs nothing else: no script, no request, readable on light and dark."""

import html
from collections.abc import Iterable, Sequence

from matplotlib.figure import Figure

from ctkd_study.analysis import Across, Comparison, Replay
from ctkd_study.records import History, Provenance
from ctkd_study.report import across, bill, columns, figures, how_it_was_run
from ctkd_study.report import replays as replayed
from ctkd_study.report.conditions import method
from ctkd_study.report.literature import published_notes
from ctkd_study.report.notes import notes
from ctkd_study.report.sentence import sentence
from ctkd_study.safe_text import visible

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1f23; --paper: #fff; --quiet: #5b636d; --line: #d5d9de; --box: #f3f5f7; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7eb; --paper: #15181c; --quiet: #9aa3ad; --line: #3a4048; --box: #1f242a; }
}
body { margin: 2rem auto; max-width: 56rem; padding: 0 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.question { color: var(--quiet); margin: 0 0 1.2rem; }
.verdict { background: var(--box); border-left: 4px solid #0f8fc4; padding: .8rem 1rem; margin: 0; }
.warning { border-left: 4px solid #d97706; padding: 0 1rem; margin: .4rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
caption { text-align: left; color: var(--quiet); padding-bottom: .3rem; }
th, td { padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { font-weight: 600; } th, td { vertical-align: baseline; } .scroll + .scroll { margin-top: 1.5rem; }
th:first-child, .text { text-align: left; } td.text { white-space: normal; }
figure { margin: 1rem 0; } figcaption { color: var(--quiet); font-size: .92rem; }
svg { width: 100%; height: auto; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1rem; margin: 0; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
ul { padding-left: 1.2rem; } footer { color: var(--quiet); font-size: .88rem; margin-top: 2rem; }
"""


def page(
    comparison: Comparison,
    histories: Sequence[History] = (),
    replays: Sequence[Replay] = (),
    provenance: Provenance | None = None,
) -> str:
    """Return the whole page. Whatever comes from a study is escaped.

    Args:
        histories: of trials with a learned temperature; they give the figure of T and λ.
        replays: of the grids.
        provenance: how the study was run.
    """
    question = comparison.question
    parts = [
        f"<h1>{escape(question.study)}</h1>",
        f'<p class="question">{escape(question.text)}</p>' if question.text else "",
        *(f'<p class="warning">Warning: {escape(remark.text)}</p>' for remark in comparison.remarks),
        f'<p class="verdict">{escape(sentence(comparison))}</p>',
        "<h2>Strategies</h2>",
        _table(columns.table(comparison, "accuracy", "wide")),
        _table(columns.table(comparison, "cost", "wide")),
        *map(_table, bill.tables(comparison)),
        *_figures(comparison, histories, replays),
        *(["<h2>Replays</h2>", _table(replayed.table(comparison, replays))] if replays else []),
        _notes((*notes(comparison), *replayed.notes(replays), *published_notes(comparison))),
        *_run(comparison, provenance),
        f"<footer>{escape(method(comparison))}</footer>",
    ]
    return _whole(question.study, parts)


def page_across(found: Across) -> str:
    """Return the page of several studies side by side. Whatever comes from a study is escaped."""
    parts = [
        f"<h1>{escape(across.heading(found))}</h1>",
        f'<p class="verdict">{escape(across.sentence(found))}</p>',
        *([_table(across.table(found, "wide"))] if found.strategies else []),
        *_drawn("Differences", "across", figures.across(found), across.FIGURE),
        _notes(across.notes(found)),
        f"<footer>{escape(across.METHOD)}</footer>",
    ]
    return _whole(across.heading(found), parts)


def _whole(title: str, parts: Iterable[str]) -> str:
    """Return a page of these parts, without the empty ones."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}: verdict</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )


def escape(text: str) -> str:
    """Escape what HTML would read as markup, and control codes, which it forbids."""
    return html.escape(visible(text))


def _notes(found: Sequence[str]) -> str:
    items = "\n".join(f"<li>{escape(note)}</li>" for note in found)
    return f"<h2>Notes</h2>\n<ul>\n{items}\n</ul>" if items else ""


def _table(table: columns.Table) -> str:
    # The first column is a heading of its row, and aligned by that.
    text = ["", *(' class="text"' if is_text else "" for is_text in table.is_text[1:])]
    titles = zip(text, table.titles, strict=True)
    head = "".join(f'<th scope="col"{kind}>{escape(title)}</th>' for kind, title in titles)
    body = "\n".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(text[1:], cells, strict=True))
        + "</tr>"
        for first, *cells in table.rows
    )
    return (
        f'<div class="scroll"><table>\n<caption>{escape(table.caption)}</caption>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _run(comparison: Comparison, provenance: Provenance | None) -> Iterable[str]:
    if provenance is not None:
        rows = how_it_was_run.rows(comparison, provenance)
        listed = "\n".join(f"<dt>{escape(what)}</dt><dd>{escape(value)}</dd>" for what, value in rows)
        yield f"<h2>How it was run</h2>\n<dl>\n{listed}\n</dl>"


def _figures(comparison: Comparison, histories: Sequence[History], replays: Sequence[Replay]) -> Iterable[str]:
    differences = (
        f"Each strategy minus {comparison.baseline}, paired by seed: dots are seeds, the bar is the interval of the "
        "mean that the verdict is read off. An interval right of the dashed line "
        f"(-{comparison.question.margin:g}) is not worse, one left of it is worse, one right of 0 is better."
    )
    cost = "Mean test accuracy with its 95 % interval; further left is cheaper, further up is better."
    if replays:
        cost += " Hollow points are replays; the dotted line joins what nothing cheaper reaches."
    temperatures = "Mean over seeds, and the span of the seeds. λ scales the reversed gradient of T."
    drawn = (
        ("Differences", "differences", figures.differences(comparison), differences),
        ("Accuracy against cost", "cost", figures.accuracy_by_cost(comparison, replays), cost),
        ("Temperature", "temperatures", figures.temperatures(comparison, histories), temperatures),
    )
    for title, name, figure, caption in drawn:
        yield from _drawn(title, name, figure, caption)


def _drawn(title: str, name: str, figure: Figure | None, caption: str) -> Iterable[str]:
    if figure is not None:
        svg, said = figures.svg(figure, name), escape(caption)
        yield f"<h2>{title}</h2>\n<figure>{svg}<figcaption>{said}</figcaption></figure>"
