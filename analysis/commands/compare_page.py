"""A comparison as one self-contained HTML page."""

from collections.abc import Sequence

from analysis import report
from analysis.decisions.compare import Comparison
from analysis.figures.compare import plot_comparison


def comparison_page(
    comparisons: Sequence[Comparison], answers: Sequence[str], texts: Sequence[str], command: str
) -> str:
    """The page as HTML text: the answers, each comparison's figure and what is printed of it, and the runs.

    Args:
      found, answers, texts: comparisons with one baseline, their headlines, and what is printed of them.
      command: how to make the page again.
    """
    title = f"{', '.join(each.arm for each in comparisons)} against {comparisons[0].baseline}"
    parts = [f"<h1>{report.text(title)}</h1>"]
    parts.append('<div class="answer">' + "".join(map(report.paragraph, answers)) + "</div>")
    for each, text in zip(comparisons, texts, strict=True):
        if each.notes or each.status != "ok":
            notes = [f"{each.status}: {each.message}"] * (each.status != "ok") + each.notes
            parts.append(f'<div class="answer warn">{"".join(map(report.paragraph, notes))}</div>')
        parts += [
            report.image(report.picture(plot_comparison(each)), each.arm),
            f"<pre>{report.text(text)}</pre>",
        ]
    parts += ["<h2>Make this page again</h2>", f"<pre>{report.text(command)}</pre>"]
    runs = [
        (comparisons[0].baseline, comparisons[0].ladders.runs[0]),
        *((each.arm, each.ladders.runs[1]) for each in comparisons),
    ]
    for i, (name, table) in enumerate(runs):
        parts += [f"<h2>{report.text(name)}</h2>", report.run_table(table, f"runs-{i}")]
    return report.document(title, "\n".join(parts))
