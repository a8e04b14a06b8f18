"""A comparison as one HTML page that needs nothing else: no script, no request, readable on light and dark."""

import html
from collections.abc import Iterable, Sequence

from ctkd_study.analysis import Across, Comparison, Replay
from ctkd_study.records import History, Provenance
from ctkd_study.report import across, bill, columns, figures, how_it_was_run
from ctkd_study.report import replays as replayed
from ctkd_study.report.conditions import method
from ctkd_study.report.headline import headline
from ctkd_study.report.illustrations import Illustration, illustrations, illustrations_across
from ctkd_study.report.literature import published_notes
from ctkd_study.report.notes import failures, notes
from ctkd_study.report.sentence import basis, sentence
from ctkd_study.safe_text import visible

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1f23; --paper: #fff; --quiet: #5b636d; --line: #d5d9de; --box: #f3f5f7; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7eb; --paper: #15181c; --quiet: #9aa3ad; --line: #3a4048; --box: #1f242a; }
}
body { margin: 2rem auto; max-width: 58rem; padding: 0 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.question { color: var(--quiet); margin: 0 0 1.2rem; }
.verdict, .headline li { background: var(--box); border-left: 4px solid var(--quiet); padding: .6rem 1rem; margin: 0; }
.verdict { margin-bottom: 1rem; }
.headline { list-style: none; padding: 0; margin: 1rem 0 .6rem; } .headline li + li { margin-top: .4rem; }
.headline .better, .headline .not_worse { border-color: #2a9d6f; } .headline .undecided { border-color: #0f8fc4; }
.headline .worse, .headline .slightly_worse { border-color: #c2649a; } .headline .baseline { color: var(--quiet); }
.basis, figcaption, dt, footer { color: var(--quiet); font-size: .92rem; } .basis { margin: 0; }
.warning { border-left: 4px solid #d97706; padding: 0 1rem; margin: .4rem 0; }
.scroll { overflow-x: auto; } .scroll + .scroll { margin-top: 1.5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; overflow-wrap: normal; }
caption { text-align: left; color: var(--quiet); padding-bottom: .3rem; }
caption span { display: block; overflow-wrap: anywhere; position: sticky; left: 0;
  max-width: calc(min(100vw, 58rem) - 2rem); }
th, td { padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap;
  vertical-align: baseline; }
th { font-weight: 600; white-space: normal; } th:first-child, .text { text-align: left; }
td.text { white-space: normal; min-width: 7rem; }
@media (max-width: 40rem) { td.text { white-space: nowrap; } }
th:first-child { position: sticky; left: 0; background: var(--paper); white-space: normal; overflow-wrap: anywhere;
  min-width: min(12rem, 32vw); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 0 2rem; }
figure { margin: 0; max-width: 30rem; } svg { width: 100%; height: auto; display: block; margin-bottom: .4rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1rem; margin: 0; } dd { margin: 0; }
ul { padding-left: 1.2rem; } footer { margin-top: 2rem; }
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
        *_headline(comparison),
        "<h2>Strategies</h2>",
        _table(columns.table(comparison, "accuracy", "wide")),
        _table(columns.table(comparison, "cost", "wide")),
        _grid(illustrations(comparison, histories, replays)),
        *_titled("The bill", "\n".join(map(_table, bill.tables(comparison)))),
        *(["<h2>Replays</h2>", _table(replayed.table(comparison, replays))] if replays else []),
        "<h2>Worst seeds and failures</h2>",
        _table(columns.table(comparison, "worst", "wide")),
        _list(failures(comparison)),
        *_run(comparison, provenance),
        *_titled("Notes", _list((*notes(comparison), *replayed.notes(replays), *published_notes(comparison)))),
        *_titled("To quote", f"<p>{escape(sentence(comparison))}</p>" if headline(comparison) else ""),
        f"<footer>{escape(method(comparison))}</footer>",
    ]
    return _whole(question.study, parts)


def page_across(found: Across) -> str:
    """Return the page of several studies side by side. Whatever comes from a study is escaped."""
    parts = [
        f"<h1>{escape(across.heading(found))}</h1>",
        f'<p class="verdict">{escape(across.sentence(found))}</p>',
        *([_table(across.table(found, "wide"))] if found.strategies else []),
        _grid(illustrations_across(found)),
        *_titled("Notes", _list(across.notes(found))),
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


def _headline(comparison: Comparison) -> Iterable[str]:
    """What is to be read first; the sentence where there is no verdict."""
    lines = headline(comparison)
    if not lines:
        yield f'<p class="verdict">{escape(sentence(comparison))}</p>'
        return
    items = "\n".join(
        f'<li class="{line.verdict or "baseline"}"><strong>{escape(line.claim)}.</strong> {escape(line.details)}</li>'
        for line in lines
    )
    yield f'<ul class="headline">\n{items}\n</ul>\n<p class="basis">{escape(basis(comparison))}</p>'


def _list(found: Sequence[str]) -> str:
    items = "\n".join(f"<li>{escape(note)}</li>" for note in found)
    return f"<ul>\n{items}\n</ul>" if items else ""


def _titled(title: str, content: str) -> Iterable[str]:
    if content:
        yield f"<h2>{title}</h2>\n{content}"


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
        f'<div class="scroll" tabindex="0"><table>\n<caption><span>{escape(table.caption)}</span></caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _run(comparison: Comparison, provenance: Provenance | None) -> Iterable[str]:
    if provenance is not None:
        rows = how_it_was_run.rows(comparison, provenance)
        listed = "\n".join(f"<dt>{escape(what)}</dt><dd>{escape(value)}</dd>" for what, value in rows)
        yield f"<h2>How it was run</h2>\n<dl>\n{listed}\n</dl>"


def _grid(drawn: Iterable[Illustration]) -> str:
    """Figures side by side, as far as the page is wide enough."""
    sections = "\n".join(map(_drawn, drawn))
    return f'<div class="figures">\n{sections}\n</div>' if sections else ""


def _drawn(drawn: Illustration) -> str:
    title = escape(drawn.title)
    svg = figures.svg(drawn.figure, drawn.name).replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
    caption = f"<figcaption>{escape(drawn.caption)}</figcaption>"
    return f"<section><h2>{title}</h2>\n<figure>{svg}{caption}</figure></section>"
