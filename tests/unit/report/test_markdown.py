"""A comparison as Markdown, literally."""

from ctkd_study.report import markdown
from ctkd_study.report.sentence import sentence
from ctkd_study.spec.published import Published
from tests.support.comparisons import CASES, HOSTILE_LABEL
from tests.support.tabulated import quickstart


def test_a_study_of_two_seeds() -> None:
    text = markdown.document(quickstart(2, text="", teacher=None))
    lines, basis, rest = text.split("\n\n", 3)[1:]
    assert [line.partition("** ")[0] for line in lines.splitlines()] == [
        "- **global against grid (best of 5) is undecided.",
        "- **instance against grid (best of 5) is undecided.",
        r"- **Exploratory: student\_alone against grid (best of 5) is undecided.",
        "- **grid (best of 5) is the baseline.",
    ]
    assert lines.endswith("** 96.30 % on test, 50.0 device-seconds and 10.0 TFLOP a use.")
    assert basis.endswith("margin 1.5 points; the 2 confirmed arms share a one-sided error of 2.5 %.")
    tables, quoted = rest.split("\n\n### To quote\n\n")
    assert quoted == f"{markdown.escape(sentence(quickstart(2, teacher=None)))}\n"
    assert tables.splitlines() == [
        "Top-1 accuracy in percent: mean over seeds, with its 95 % interval:",
        "",
        r"| strategy | validation (selected on) | test | minus grid | p (not worse) | verdict | kept, by seed |",
        r"|---|---:|---:|---:|---:|---|---|",
        r"| grid | 97.00 | 96.30 |  |  |  | T=4 x1, T=8 x1 |",
        r"| global | 97.00 | 95.95 | -0.35 | - | undecided |  |",
        r"| instance | 97.00 | 96.60 | +0.30 | - | undecided |  |",
        r"| student\_alone | 91.00 | 90.30 | -6.00 | - | undecided (exploratory) |  |",
        "",
        "Cost of carrying a strategy out once, and its ratio to grid at the same seeds:",
        "",
        r"| strategy | settings | trials | TFLOP | ratio | device-seconds | ratio |",
        r"|---|---:|---:|---:|---:|---:|---:|",
        r"| grid | 5 | 10 | 10.0 | 1.00 | 50.0 | 1.00 |",
        r"| global | 1 | 2 | 2.00 | 0.20 | 10.0 | 0.20 |",
        r"| instance | 1 | 2 | 2.00 | 0.20 | 10.0 | 0.20 |",
        r"| student\_alone | 1 | 2 | 2.00 | 0.20 | 10.0 | 0.20 |",
        "",
        "The worst seed of each strategy, and what failed:",
        "",
        r"| strategy | worst on test | worst minus grid | failed trials | dropped seeds | lost device-seconds |",
        r"|---|---:|---:|---:|---:|---:|",
        r"| grid | 96.00 (seed 0) |  | 0 | none | 0 |",
        r"| global | 95.80 (seed 0) | -0.50 (seed 1) | 0 | none | 0 |",
        r"| instance | 95.40 (seed 0) | -0.60 (seed 0) | 0 | none | 0 |",
        r"| student\_alone | 90.00 (seed 0) | -6.00 (seed 0) | 0 | none | 0 |",
    ]


def test_the_question_comes_first_and_notes_and_published_numbers_last() -> None:
    published = Published(source="Li et al., AAAI 2023", student=91.5)
    text = markdown.document(quickstart(protocol="paper", published=published))
    assert text.startswith(
        "## quickstart\n\nDoes a learned temperature save the grid search?\n\n**No verdict for quickstart:"
    )
    assert text.endswith(
        "\n\n- The teacher's own 30.0 device-seconds, its work in the trials, and evaluation are not in the cost "
        "(--charge-teacher each adds what one use of a strategy pays of them).\n"
        r"- student\_alone: published 91.50 / here 90.12 ± 0.45 (Li et al., AAAI 2023)." + "\n"
    )


def test_what_comes_from_a_study_is_no_markup() -> None:
    text = markdown.document(CASES["battered"])
    hostile = r'&lt;script&gt;alert("1")&lt;/script&gt; &amp; \[red\]\$x\_1\$\[/\]'
    warning = f"- Warning: the teacher guesses {hostile}.\n- Warning: grid: 8 of 8 seeds"
    assert text.startswith(f"## quickstart\n\n{hostile}\n\n{warning}")
    assert r"T=&lt;b&gt;\|\[red\]1\[/\] x12" in text
    assert HOSTILE_LABEL not in text
    assert "<script" not in text
    assert r"| global\*†‡ | 91.00 ± 0.10 |" in text


def test_escaping_and_a_table_of_text() -> None:
    assert markdown.escape("a\nb  c # `d` ~e~ \\") == r"a b c \# \`d\` \~e\~ \\"
    assert markdown.table(["a", "b"], [["1", "2"]]) == "| a | b |\n|---|---|\n| 1 | 2 |"
    assert markdown.table(["a", "b"], [], [True, False]) == "| a | b |\n|---|---:|"
