"""One answer: which frontier stands first, how sure it is called, and what each command says first."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis import fitting
from analysis.__main__ import main
from analysis.audit import Audit, Finding
from analysis.commands.answers import rows_read
from analysis.fitting import Band
from analysis.frontiers import Cost, Frontier, find_optima, from_fit, from_isoflop
from analysis.frontiers.lines import Exponents, loss_note
from analysis.headline import choose
from analysis.laws import Chinchilla
from analysis.tables import table
from bench import synthetic

TABLE = Path(__file__).parents[1] / "experiments/results/plain.csv"


def front(method: str, a: float, low: float, high: float, status: str = "ok") -> Frontier:
    one = Band(np.array([1e9]), np.array([9e8]), np.array([2e9]))
    extend = lambda flops: (one, one, one)  # noqa: E731
    return Frontier(
        method=method,
        convention="",
        unit="",
        cost=Cost(6.0, 1.0, "6·N·D"),
        flops=np.array([1e18]),
        params=one,
        tokens=one,
        loss=one,
        point_status=("ok",),
        exponents=Exponents(Band(a, low, high), Band(1 - a, 1 - high, 1 - low), extend, ""),
        status=status,
        message="as made up",
        runs=9,
    )


def test_the_narrowest_trustworthy_interval_stands_first_whatever_the_order():
    fronts = [
        front("wide", 0.5, 0.3, 0.7),
        front("narrow", 0.5, 0.45, 0.55),
        front("narrower, edge", 0.5, 0.49, 0.51, "edge"),
        front("bare", 0.5, np.nan, np.nan),
    ]
    for order in (fronts, fronts[::-1]):
        best = choose(order)
        assert best.front.method == "narrow" and len(best.others) == 3
        assert "by narrower, edge 3.16 times (3.09 to 3.24), but is edge" in best.how_sure
    assert choose([front("none", np.nan, np.nan, np.nan)]) is None and choose([]) is None


@pytest.mark.parametrize(
    ("fronts", "word"),
    [
        ([front("x", 0.5, 0.45, 0.55), front("y", 0.52, 0.4, 0.6)], "strong"),
        ([front("x", 0.5, 0.45, 0.55)], "moderate"),
        ([front("x", 0.5, 0.3, 0.6), front("y", 0.55, 0.1, 0.9)], "moderate"),
        ([front("x", 0.5, 0.1, 0.9)], "weak"),
        (
            [front("x", 0.5, 0.49, 0.51), front("y", 0.512, 0.505, 0.52)],
            "strong",
        ),  # overlaps, and all within 1.5
        ([front("x", 0.5, 0.49, 0.51), front("y", 0.53, 0.52, 0.54)], "moderate"),  # disagrees, and the same
        ([front("x", 0.5, 0.45, 0.55), front("y", 0.9, 0.8, 1.0)], "weak"),
        ([front("x", 0.5, 0.45, 0.55, "unidentified")], "none"),
    ],
)
def test_the_evidence_is_called_by_width_and_by_what_another_method_says(fronts, word):
    best = choose(fronts)
    assert best.evidence == word
    assert best.lines()[0].startswith("NOT TO BE RELIED ON") == (word == "none")


def test_an_audit_that_warns_lowers_the_evidence_and_one_that_refuses_leaves_none():
    fronts = [front("x", 0.5, 0.45, 0.55), front("y", 0.52, 0.4, 0.6)]
    runs = table.from_columns(params=[1e6], tokens=[1e8], loss=[3.0])
    found = {at: Finding("bend", at, "It bends.") for at in ("ok", "note", "warn", "refuse")}
    judged = {at: choose(fronts, Audit((finding,), runs)) for at, finding in found.items()}
    assert {at: best.evidence for at, best in judged.items()} == {
        "ok": "strong",
        "note": "strong",
        "warn": "moderate",
        "refuse": "none",
    }
    assert "but the audit warns (the law bends)" in judged["warn"].how_sure
    valleys = [replace(fronts[0], method="isoflop, x"), replace(fronts[1], method="fit of y")]
    both = Audit((found["warn"], Finding("mixed", "warn", "They are mixed.")), runs)
    assert choose(valleys, both).doubts == [
        # valleys do not bend as a law does
        "Against the law beside it, which only confirms the answer: it bends.",
        "Against it: they are mixed.",
    ]
    assert judged["refuse"].lines()[0] == "NOT TO BE RELIED ON: the audit refuses it (the law bends)."


def test_a_growth_is_told_from_the_ends_of_its_interval_and_lies_between_them():
    for a, half in ((0.515, 0.003), (0.49, 0.008), (0.57, 0.06), (0.5, 0.0004)):
        said = choose([front("x", a, a - half, a + half)]).growth
        value, low, high = map(float, re.search(r": (\S+) times .*?%: (\S+) to (\S+)\)", said).groups())
        assert low < value < high, said


def test_losses_of_different_text_are_weak_evidence_however_narrow():
    text = {"corpus": np.array(["a", "b"] * 3, object), "loss": [3, 2.9, 2.8, 2.7, 2.6, 2.5]}
    runs = table.from_columns(params=[1e6, 2e6, 3e6] * 2, tokens=[1e8] * 6, **text)
    mixed = replace(front("x", 0.5, 0.45, 0.55), cautions=runs.cautions)
    best = choose([mixed, front("y", 0.52, 0.4, 0.6)])
    assert best.evidence == "weak" and "losses of different text" in best.how_sure


def test_a_disagreement_and_what_would_settle_it_are_said():
    few = replace(front("isoflop, x", 0.9, 0.8, 1.0), point_status=("few",))
    best = choose([front("x", 0.5, 0.45, 0.55), few])
    assert "which DISAGREES" in best.how_sure and best.surer() == "more sizes at 1e18 FLOPs (too few now)"


@pytest.mark.parametrize(
    ("centre", "more", "end"), [(8.0, "smaller", "smallest"), (0.1, "larger", "largest")]
)
def test_sizes_beyond_the_end_that_is_best_would_make_it_surer(centre, more, end):
    law = Chinchilla(1.7, 400.0, 1500.0, 0.34, 0.36)
    grid = synthetic.isoflop(law, [1e18, 1e19], span=4.0, centre=centre)
    best = choose([front("x", 0.5, 0.45, 0.55), from_isoflop(find_optima(grid, draws=20))])
    assert best.surer() == f"{more} sizes at 1e18, 1e19 FLOPs (the {end} is best now)"


def test_the_size_that_is_told_is_of_a_budget_whose_minimum_was_seen():
    two = Band(*(np.array([end, 3 * end]) for end in (1e9, 9e8, 2e9)))
    wide = {"flops": np.array([1e18, 1e19]), "params": two, "tokens": two, "loss": two}
    law = replace(front("fit of x", 0.5, 0.45, 0.55), **wide, point_status=("ok", "ok"))
    valleys = replace(front("isoflop, x", 0.5, 0.4, 0.6), **wide, point_status=("ok", "edge"))
    assert choose([law]).seen == 1e19 and choose([law, valleys]).seen == 1e18
    assert choose([law, valleys]).size().startswith("At 1e18 FLOPs (the largest budget whose ")


def test_far_beyond_the_table_the_evidence_is_of_the_growth_and_losses_that_differ_are_a_doubt():
    one, two = front("x", 0.5, 0.45, 0.55), front("y", 0.52, 0.4, 0.6)
    said = " ".join(choose([one, two]).lines(1e20))
    assert "weak at 1e20 FLOPs (100 × the largest budget), strong for the growth" in said
    assert "Surer with: a budget of 1e19 FLOPs, on the way there." in said
    assert choose([one, two]).lines(5e18)[2].startswith("Evidence: strong: both methods agree on growth")
    assert not choose([one, two]).other_losses(5e18)

    def losing(each: Frontier, value: float, half: float = 0.02) -> Frontier:
        loss = Band(*(np.array([end]) for end in (value, (1 - half) * value, (1 + half) * value)))
        extend = lambda flops: (one.params, one.tokens, loss)  # noqa: E731
        return replace(each, exponents=replace(each.exponents, extend=extend))

    (doubt,) = choose([losing(one, 2.0), losing(two, 2.1)]).other_losses(1e20)
    assert "at 1e20 FLOPs it is 2.100 (2.058 to 2.142) by y, 5.0 % apart" in doubt
    near = [losing(one, 2.0, 0.005), losing(two, 2.018, 0.005)]  # that overlap, and lie within 1 %
    assert not choose(near).other_losses(1e20)


def test_beyond_budgets_too_few_to_show_a_floor_the_fitted_law_tells_the_loss():
    bare = front("isoflop, joint", 0.5, 0.49, 0.51)
    bare = replace(bare, exponents=replace(bare.exponents, loss_note=loss_note(4)))
    law = front("fit of Chinchilla (huber-log)", 0.5, 0.45, 0.55)
    high = Band(np.array([5.0]), np.array([4.0]), np.array([6.0]))
    law = replace(law, exponents=replace(law.exponents, extend=lambda flops: (high, high, high)))
    best = choose([bare, law])
    assert best.front is bare and best.of_loss(1e18) is bare, "inside its own budgets it tells it itself"
    assert "loss 5.000 (4.000 to 6.000), the loss by the fitted law" in best.model(1e19)
    assert not best.other_losses(1e19), "and a line without a floor is no doubt of it there"
    assert choose([bare]).of_loss(1e19) is bare
    cut = replace(bare, flops=np.array([1e18, 4e18]), point_status=("ok", "edge"))
    assert choose([cut, law]).of_loss(1e18) is cut and choose([cut, law]).of_loss(4e18) is law, (
        "no minimum there"
    )
    enough = replace(bare, exponents=replace(bare.exponents, loss_note=loss_note(5)))
    assert choose([enough, law]).of_loss(1e19) is enough


def test_with_few_budgets_the_loss_beyond_them_holds_the_truth():
    law, held = Chinchilla(1.69, 406.4, 410.7, 0.34, 0.28), 0
    for seed in range(3):
        budgets = np.repeat(1e18 * 4.0 ** np.arange(4), 7)
        size = law.optimum(budgets, 6.0, 1.0)[0] * np.tile(np.geomspace(0.25, 4, 7), 4)
        tokens = budgets / 6 / size
        luck = np.exp(0.005 * np.random.default_rng(seed).standard_normal(len(size)))
        runs = table.from_columns(
            "few", params=size, tokens=tokens, flops=budgets, loss=law.loss(size, tokens) * luck
        )
        fitted = fitting.fit(Chinchilla, runs)
        law_front = from_fit(fitting.intervals(fitted, "profile"), flops=np.array([budgets.max()]))
        best = choose([from_isoflop(find_optima(runs, method="joint")), law_front])
        at = 10 * budgets.max()
        told, truth = best.of_loss(at).at([at])[2], law.loss(*law.optimum(np.array([at]), 6.0, 1.0))
        held += int(told.low[0] <= truth[0] <= told.high[0])
    assert held == 3


def test_far_below_the_table_the_evidence_is_weak_too():
    best = choose([front("x", 0.5, 0.45, 0.55), front("y", 0.5, 0.45, 0.56)])
    assert best.sure_at(1e18)[0].startswith("Evidence: strong")
    assert best.sure_at(1e13)[0].startswith(
        "Evidence: weak at 1e13 FLOPs (1e-05 × the smallest budget), strong"
    )
    assert "1e17 FLOPs, on the way there" in best.surer(1e13)


def test_every_command_begins_with_one_answer_and_ends_with_the_next_command(capsys):
    said, by_law = {}, set()
    for words in (["fit"], ["frontier"], ["audit"], ["decide", "--budget", "3.6e12"], ["ledger"]):
        assert main([words[0], str(TABLE), *words[1:]]) == 0
        text = capsys.readouterr().out
        said[words[0]] = " ".join(text.partition("\n\n")[0].split())
        law = re.search(r"a = (\S+ \([\d., -]+\)) by fit of Chinchilla", " ".join(text.split()))
        by_law |= {law[1]} if law else set()
        if words == ["ledger"]:
            assert max(map(len, text.splitlines())) <= 100
        assert text.rstrip().splitlines()[-1].startswith("Next: python -m analysis "), words
    assert len(by_law) == 1, f"one law, several intervals: {by_law}"
    growth = (
        "Ten times the compute: 4.1 times the parameters (95 %: 3.1 to 5.6), 2.6 times the tokens "
        "(1.9 to 3.4), by valleys."
    )
    size = "111k parameters (91.5k to 147k) on 5.04M tokens (3.83M to 6.11M), loss "
    for name, text in said.items():
        assert growth in text and size in text and "Evidence: moderate" in text, name
    assert said["decide"].startswith(f"Train {size}")
    assert "The fitted law says 128k parameters (" in said["decide"]  # beside it, with what others print


WORDS = {
    "fit": [],
    "frontier": [],
    "isoflop": [],
    "ledger": ["--method", "fit"],
    "audit": [],
    "decide": ["--budget", "1e14"],
}


@pytest.mark.parametrize("name", [*WORDS, "report"])
def test_every_command_says_once_why_a_table_is_refused(name, tmp_path, capsys):
    grid = synthetic.isoflop(
        Chinchilla(1.7, 400.0, 1500.0, 0.34, 0.36), [1e17, 1e18, 1e19], 4, 2.0, noise=0.2
    )
    columns = {name: getattr(grid, name) for name in ("budget", "params", "tokens", "flops", "loss")}
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path = tmp_path / "noise.csv"
    path.write_text("\n".join(lines))
    out = tmp_path / "page.html"
    words = WORDS.get(name, ["-o", str(out)])
    main([name, str(path), *words])
    told = " ".join("".join(capsys.readouterr()).split())
    assert re.search("NOT TO BE|refuse|not ok|No method gives", told), told
    reasons = [part for part in re.split(r"[.;:] |\. ", told) if len(part) > 50]
    assert len(reasons) == len(set(reasons)), reasons


def test_a_budget_alone_is_answered_by_the_headline_and_all_else_by_the_law(tmp_path, capsys):
    """What a script reads is what is printed: `headline` is null where the law's plan stands first."""
    out = tmp_path / "found.json"
    ask = ["decide", str(TABLE), "--bootstrap", "40", "--json", str(out)]
    for question, by_headline in (
        (["--budget", "3.6e12"], True),
        (["--budget", "3.6e12", "--serve", "1e7"], False),
        (["--target-loss", "1.75"], False),
        (["--budget", "3.6e12", "--intervals", "none"], True),
    ):
        assert main([*ask, *question]) == 0
        first = capsys.readouterr().out.split(", loss ")[0]
        found = json.loads(out.read_text())
        assert bool(found["headline"]) == by_headline
        size = (found["headline"] or found["answer"])["params"]["value"]
        others = {each["name"]: each for each in found["alternatives"]}
        if "size × 2" in others:  # other sizes are about the one that is printed
            assert others["size × 2"]["params"]["value"] == pytest.approx(2 * size)
        assert first.startswith(f"Train {size / 1e3:.3g}k parameters"), question


def test_provenance_is_told_when_asked_for(capsys):
    ask = ["decide", str(TABLE), "--budget", "3.6e12", "--bootstrap", "40"]
    assert main(ask) == 0
    short = capsys.readouterr().out
    assert main([*ask, "-v"]) == 0
    long = capsys.readouterr().out
    for words in ("convention", "bootstrap)", "under every resampled law", "CAREFUL"):
        assert words in long and words not in short
    assert "From all 28 runs; the loss is column loss." in short
    assert "(40 draws; the interval on top is that of its method, isoflop, joint):" in long


def test_a_decision_says_which_rows_it_left_out_and_whose_loss_it_took():
    columns = {"params": [1e6, 2e6, 3e6], "tokens": [1e8, 2e8, 3e8], "val/loss": [3.0, 2.9, 2.8]}
    runs = table.from_columns("three", **columns).flag(1, "crashed")
    assert rows_read(runs) == "From 2 of 3 runs (left out: 1 crashed); the loss is column val/loss."


@pytest.mark.parametrize(
    ("name", "grade", "worst"),
    [("quickstart", "moderate", "beta spans a factor 1.5"), ("plain", "weak", "beta spans a factor 5.5")],
)
def test_a_fit_grades_its_own_parameters(name, grade, worst, capsys):
    assert main(["fit", str(TABLE.with_stem(name))]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"Evidence for these coefficients: {grade} (95 % of {worst}" in said
