"""A comparison as one self-contained HTML page."""

from collections.abc import Sequence

from analysis import report
from analysis.decisions.compare import Comparison
from analysis.figures.compare import caption, plot_comparison


def comparison_page(
    comparisons: Sequence[Comparison], answers: Sequence[str], texts: Sequence[str], command: str
) -> str:
    """The page as HTML text: the answers, each comparison's figure and what is printed of it, and the runs.

    Args:
      comparisons, answers, texts: with one baseline; their headlines and how sure they are; what is printed
        of each.
      command: how to make the page again.
    """
    title = f"{', '.join(each.arm for each in comparisons)} against {comparisons[0].baseline}"
    parts = [f"<h1>{report.text(title)}</h1>"]
    parts.append(report.card(answers, large=len(comparisons)))
    for each, text in zip(comparisons, texts, strict=True):
        if each.status != "ok":
            parts.append(careful([f"{each.arm}: {each.status}: {each.message}"]))
        drawn = report.image(report.picture(plot_comparison(each, captioned=False)), each.arm)
        parts.append(f"<figure>{drawn}<figcaption>{report.text(caption(each, False))}</figcaption></figure>")
        parts += ["<h2>What to be careful about</h2>", careful(each.notes)] if each.notes else []
        parts.append(f"<details><summary>All numbers of {report.text(each.arm)}</summary><pre>")
        parts.append(f"{report.text(text)}</pre></details>")
    parts += ["<h2>Make this page again</h2>", f"<pre>{report.text(command)}</pre>"]
    runs = [
        (comparisons[0].baseline, comparisons[0].ladders.runs[0]),
        *((each.arm, each.ladders.runs[1]) for each in comparisons),
    ]
    for i, (name, table) in enumerate(runs):
        parts += [f"<h2>{report.text(name)}</h2>", report.run_table(table, f"runs-{i}")]
    return report.document(title, "\n".join(parts))


def careful(lines: Sequence[str]) -> str:
    return f'<div class="answer warn">{"".join(map(report.paragraph, lines))}</div>'
