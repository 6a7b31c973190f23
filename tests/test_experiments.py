"""The experiments' grids are what they say, and their committed tables give their claims."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from analysis import frontiers
from analysis.frontiers import replicates
from analysis.laws import DataConstrained
from analysis.tables import table
from experiments import (
    charrnn,
    chinchilla2022,
    cooldown,
    index,
    known_entropy,
    plain,
    porian2024,
    quickstart,
    rates,
    repeats,
    transfer,
)
from experiments.reports import (
    coordinates,
    cosines,
    figures,
    figures_floors,
    figures_rates,
    figures_trunks,
    frontier,
    tables,
)
from lab.data import corpora
from lab.data.languages import parse_language
from lab.models import counts
from lab.plan import grid
from lab.store import export
from lab.store.store import Store

RESULTS = Path(__file__).parents[1] / "experiments" / "results"


@pytest.fixture(scope="module")
def runs():
    return plain.runs()


def test_the_quickstart_s_cells_share_no_seed_and_differ_in_width_alone():
    runs = quickstart.runs()
    cells = {(run.budget, counts.count_params(run.model).params) for run in runs}
    assert len({run.run_id for run in runs}) == len({run.seed for run in runs}) == len(runs) == 46
    assert len(cells) == 38 and len({run.budget for run in runs}) == 6
    assert all(run.seed == run.data_seed for run in runs)
    assert len({(run.model.n_layer, run.model.n_head, run.model.settings) for run in runs}) == 1
    for run in runs:
        assert counts.run_flops(run) == pytest.approx(run.budget, rel=0.01)
        grid.check_data(run)
    other = quickstart.runs(seeds=1)
    assert not {run.seed for run in runs} & {run.seed for run in other}
    assert [replace(run, seed=0, data_seed=0) for run in runs] == [
        replace(run, seed=0, data_seed=0) for run in other
    ]


def test_the_quickstart_gives_its_exponents_to_what_is_promised_and_says_what_forms_differ_by():
    grid = frontier.analyse(table.read(RESULTS / "quickstart.csv"), **quickstart.HOW)
    for front, promised in ((grid.valley, 0.1), (grid.parametric, 0.05)):
        a = front.params_exponent
        assert front.status == "ok" and (a.high - a.low) / 2 < promised
    assert frontiers.agreement(grid.valley, grid.parametric) == "agree"
    (said,) = frontier.systematic(grid)
    values = [float(value) for value in re.findall(r"(0\.\d+) by", said)]
    half = float(re.search(r"a ± (\S+)", said)[1])
    assert len(values) >= 4 and half == pytest.approx((max(values) - min(values)) / 2, abs=1e-3)


def test_the_plain_grid_has_four_budgets_of_six_sizes_and_replicates(runs):
    cells: dict[float, set] = {}
    for run in runs:
        cells.setdefault(run.budget, set()).add(counts.count_params(run.model).params)
    budgets = sorted(cells)
    assert len(budgets) >= 4 and all(b / a == 2 for a, b in pairwise(budgets))
    for sizes in cells.values():
        assert len(sizes) == 6 and 7 <= max(sizes) / min(sizes) <= 16
    assert len({run.run_id for run in runs}) == len(runs) == 28
    replicas = [run for run in runs if run.seed]
    assert len({(run.budget, run.model) for run in replicas}) == 2 and len(replicas) == 4


def test_no_cell_repeats_its_data_too_often_or_sees_too_little(runs):
    for run in runs:
        assert run.epochs <= 4 and run.tokens >= 1_000_000
        assert counts.run_flops(run) == pytest.approx(run.budget, rel=0.01)
        grid.check_data(run)


def test_the_learning_rate_rule_is_within_a_factor_two_of_the_best_at_both_ends():
    cells = rates.corners(RESULTS / "rates.csv")
    assert len(cells) == 4
    for (budget, params), (rule, losses) in cells.items():
        assert len(losses) == 5
        best = min(losses, key=losses.get)
        assert 0.5 <= rule / best <= 2, f"N={params}, C={budget:g}: rule {rule:.3g}, best {best:g}"


def test_readme_and_map_state_what_the_committed_table_gives():
    said = "\n".join(
        frontier.answer(frontier.analyse(table.read(RESULTS / "quickstart.csv"), **quickstart.HOW))
    )
    root = RESULTS.parents[1]
    stated = (root / "docs" / "index.md").read_text().split("```text\n")[1].split("```")[0].strip()
    numbers = re.compile(r"-?\d+\.\d+|-?\d+")
    assert numbers.sub("#", stated) == numbers.sub("#", said)
    ours, theirs = ([float(x) for x in numbers.findall(text)] for text in (said, stated))
    assert theirs == pytest.approx(ours, abs=0.02)
    line = re.search(r"N ~ C\^.* by law.*valleys", (root / "README.md").read_text().replace("−", "-"))[0]
    valleys, law = (re.search(rf"{way}.*?N ~ C\^(\S+) \((\S+), (\S+)\)", said) for way in ("isoflop", "fit"))
    assert numbers.findall(line) == [f"{float(x):.2f}" for match in (law, valleys) for x in match.groups()]


def test_the_index_and_its_pages_state_what_the_committed_tables_answer():
    numbers = re.compile(r"-?\d+\.?\d*(?:e[+-]?\d+)?")
    for path, made in index.pages().items():
        stated = path.read_text(encoding="utf-8")
        assert numbers.sub("#", stated) == numbers.sub("#", made), path.name
        ours, theirs = ([float(x) for x in numbers.findall(text)] for text in (made, stated))
        assert theirs == pytest.approx(ours, rel=0.02, abs=0.02), path.name
    pages = {path.stem for path in index.README.parent.glob("answers/*.md")}
    assert pages == {entry.name for entry in index.ENTRIES}, "every experiment has a page, and no other"


def test_the_index_can_be_read_in_a_minute():
    table = index.README.read_text(encoding="utf-8").partition(index.HEAD)[2].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    assert len(cells) == len(index.ENTRIES) and {len(row) for row in cells} == {5}
    assert max(len(answer) for *_, answer in cells) <= 140


# --- the larger experiments ----------------------------------------------------------------------

LARGER = (chinchilla2022, porian2024, cooldown, known_entropy, repeats, transfer, charrnn)
CORE_SECONDS = 2 * 20 * 60  # twenty minutes on two cores


@pytest.fixture
def no_corpora(monkeypatch):
    """Corpora of the right sizes and no content."""

    def named(name, tokenizer="bytes", *_, **__):
        synthetic = ":" in name and parse_language(name)
        size = synthetic[1] if synthetic else {"linux-6.1": 99_053_774}.get(name, 4_826_570)
        vocab = synthetic[0].n_symbols if synthetic else {"chars": 85}.get(tokenizer, 256)
        return SimpleNamespace(name=name, sha256="ab" * 32, n_train=size, vocab_size=vocab)

    monkeypatch.setattr(corpora, "prepare", named)
    monkeypatch.setattr(corpora, "prepare_first", lambda names, *rest, **__: named(names[0], *rest))


@pytest.mark.parametrize("experiment", LARGER, ids=lambda module: module.__name__)
def test_the_larger_grids_are_priced_as_they_say(experiment, no_corpora):
    words = " ".join(experiment.__doc__.split())
    for size in experiment.SIZES:
        configs = experiment.runs(size)
        if experiment is not known_entropy:  # its languages have one stand-in's sha256 here
            assert len({config.run_id for config in configs}) == len(configs)
        for config in configs:
            grid.check_data(config)
        said = re.search(rf"{size}: (\d+) runs, ([\d.e]+) FLOPs(?:, (\d+) minutes)?", words)
        if size == "smoke":
            continue
        price = grid.price(configs)
        assert len(configs) == int(said[1])
        assert price.flops == pytest.approx(float(said[2]), rel=0.02)
        if size != "accelerator":
            seconds = price.flops / grid.CORE_FLOPS_PER_SECOND / 2  # on two cores
            assert seconds <= CORE_SECONDS / 2
            assert seconds / 60 == pytest.approx(int(said[3]), abs=0.6)


@pytest.mark.parametrize("size", charrnn.SIZES)
def test_the_three_kinds_cost_the_same_a_token(size, no_corpora):
    models = [config.model for config in charrnn.runs(size)]
    assert {model.kind for model in models} == {"lstm", "gru", "transformer"}
    each = [counts.flops_exact(model) for model in models]
    assert max(each) / min(each) < (1.03 if size != "smoke" else 1.2)
    assert ("lstm", 3, 512) in [  # of 2015
        (model.kind, model.n_layer, model.d_model)
        for model in (config.model for config in charrnn.runs("accelerator"))
    ]


def test_every_budget_s_valley_has_its_sizes_and_cosines_are_no_part_of_it(no_corpora):
    configs = chinchilla2022.runs()
    cells = [config for config in configs if config.budget]
    beside = [config for config in configs if not config.budget]
    longer = [config for config in beside if config.horizon_steps != config.steps]
    assert len(beside) == len(longer) + 2 * len(chinchilla2022.RATES)
    assert [round(c.horizon_steps / c.steps, 2) for c in longer] == list(chinchilla2022.HORIZONS)
    assert all(c.horizon_steps == c.steps for c in cells)
    assert len({(c.model, c.tokens, c.batch_tokens) for c in longer}) == 1
    for budget in chinchilla2022.SIZES["laptop"].budgets:
        assert len({c.model for c in cells if c.budget == budget}) == 6
    run = chinchilla2022.nearest(400_000, 2.9e13)
    assert counts.run_flops(run) == pytest.approx(2.9e13, rel=0.01)
    with pytest.raises(ValueError, match="the ladder of chinchilla2022:laptop goes from"):
        chinchilla2022.nearest(4e9, 2.9e13)


def losses(configs, law, name, path, noise=0.0, **more):
    rng = np.random.default_rng(0)
    rows = []
    for config in configs:
        N = counts.count_params(config.model).params
        loss = float(law(N, config.tokens, config) * np.exp(noise * rng.standard_normal()))
        record = {
            "status": "done",
            "steps": config.steps,
            "loss": loss,
            "loss_se": 0.001,
            "init_from": config.init_from or None,
        }
        rows.append(export.row(config, record, name))
    export.write(rows, path)


def test_longer_cosines_are_measured_against_the_same_cell(no_corpora, tmp_path):
    def law(N, D, config):
        alone = 1.2 + 30 * N**-0.35 + 300 * D**-0.37
        return alone * (config.horizon_steps / config.steps) ** 0.02

    losses(chinchilla2022.runs(), law, "x", tmp_path / "runs.csv")
    longer = cosines.longer_cosines(table.read(tmp_path / "runs.csv"))
    assert longer.times == pytest.approx((1.0, *chinchilla2022.HORIZONS), rel=0.01)
    ratio = np.array(longer.loss) / longer.loss[0]
    np.testing.assert_allclose(ratio, np.array(longer.times) ** 0.02, rtol=1e-4)


def test_the_walk_gives_a_planted_exponent_back_and_kaplans_counting_moves_it(no_corpora, tmp_path):
    def law(N, D, config):
        return 1.2 + 60 * N**-0.4 + 700 * D**-0.4

    size = porian2024.SIZES["laptop"]
    configs = porian2024.runs()
    assert {config.horizon_steps for config in configs} == {max(c.steps for c in configs)}
    assert {config.warmup_steps for config in configs} == set(size.warmups)
    for config in configs:
        assert grid.check_data(config) is None and config.data == configs[0].data
    losses(configs, law, "x", tmp_path / "runs.csv")
    lines = ["run_id,params,step,tokens,flops,loss"]
    for config in configs:
        N, each = counts.count_params(config.model).params, counts.flops_exact(config.model)
        for step in np.geomspace(config.steps / 100, config.steps, 12).round():
            D = step * config.batch_tokens
            lines.append(f"{config.run_id},{N},{step:.0f},{D},{each * D},{law(N, D, config)}")
    (tmp_path / "curves.csv").write_text("\n".join(lines))
    losses(chinchilla2022.runs(), law, "x", tmp_path / "cells.csv", noise=0.001)
    rows, curves = table.read(tmp_path / "runs.csv"), table.read(tmp_path / "curves.csv")
    cells = table.read(tmp_path / "cells.csv", where="budget > 0")
    steps = porian2024.walk(rows, curves, cells, size)
    first, *others = (step.law.params_exponent for step in steps)
    for found in others:
        assert found.value == pytest.approx(steps[-1].law.params_exponent.value, abs=0.03)
    assert first.value > max(found.value for found in others) + 0.05
    assert len(steps[0].points) > 15 and "Kaplan's way" in porian2024.describe(steps)[-1]
    figures.walk(steps).savefig(tmp_path / "x.png")


def test_a_planted_cost_of_trunks_comes_back(no_corpora, tmp_path, capsys):
    configs = cooldown.runs()
    cells = [config for config in configs if not config.trunk]
    assert sum(bool(c.init_from) for c in cells) == 12 + len(cooldown.MORE_RATES) + len(cooldown.MORE_SEEDS)

    def law(N, D, config):
        worse = 1.004 + 0.001 * config.seed if config.init_from and not config.trunk else 1.0
        return (1.2 + 30 * N**-0.35 + 300 * D**-0.37) * worse

    losses(configs, law, "x", tmp_path / "runs.csv")
    found = cooldown.compare(tmp_path / "runs.csv")
    np.testing.assert_allclose(found.differences, 0.004, rtol=1e-6)
    assert found.share == pytest.approx(0.52, abs=0.001) and found.unpaired == 0
    assert found.flops[0] == pytest.approx(found.planned, rel=1e-3)
    assert sorted(found.rates) == pytest.approx([0.25, 0.35, 0.5, 0.7])
    assert sorted(found.again) == pytest.approx([0.004, 0.005, 0.006])
    said = "\n".join(cooldown.answer(tmp_path / "runs.csv"))
    assert "52.0 %, within 55 %" in said and "+0.40 % in the mean over 12 pairs" in said
    figures_trunks.cooldown(found, (0.55, 0.005)).savefig(tmp_path / "x.png")
    losses([c for c in configs if c != cells[0]], lambda *a: 1.01 * law(*a), "x", tmp_path / "runs.csv")
    found = cooldown.compare(tmp_path / "runs.csv")
    assert len(found.cosine) == 11 and "1 cells have no other" in cooldown.describe(found)[-1]
    with pytest.raises(ValueError, match="1 pairs of a cosine and a branch are done"):
        losses([cells[0], next(c for c in cells if not c.init_from)], law, "x", tmp_path / "runs.csv")
        cooldown.compare(tmp_path / "runs.csv")


def test_a_planted_worth_of_repeats_comes_back_and_a_rising_loss_is_left_out(no_corpora, tmp_path):
    truth = DataConstrained(E=1.2, A=60, B=300, alpha=0.4, beta=0.37, R_D=8.0, R_N=3.0)
    configs = repeats.runs()

    def law(N, D, config):
        unique = config.data.unique_tokens or D
        rises = 1.02 if (N, D / unique, config.seed) == (small, 64, 0) else 1.0
        return truth.loss(N, D, min(D, unique)) * rises

    small = min(counts.count_params(c.model).params for c in configs)
    losses(configs, law, "x", tmp_path / "runs.csv")
    found = repeats.measure(tmp_path / "runs.csv")
    assert found.rising == 1 and np.isfinite(found.beyond).all()
    assert found.worn.law.R_D == pytest.approx(8.0, rel=0.02)
    apart = found.seeds_apart()
    assert len(apart) == 2 * 10 and (abs(apart) > 0.01).sum() == 1, "one run of one seed rises"
    said = "\n".join(repeats.describe(found))
    assert "1 runs are left out" in said and re.search(r"R_D\* = (7\.9|8)", said)
    assert found.worn.law.R_N == pytest.approx(3.0, rel=0.02)
    figures_trunks.repeats(found, repeats.PUBLISHED).savefig(tmp_path / "x.png")


def test_a_planted_floor_comes_back_and_a_run_below_it_is_told(tmp_path, monkeypatch):
    size = known_entropy.SIZES["laptop"]
    name = "markov:8-2-3-0-50000"
    corpus = corpora.prepare(name, directory=tmp_path, quiet=True)
    monkeypatch.setattr(corpora, "prepare", lambda *_, **__: corpus)
    monkeypatch.setattr(grid, "check_data", lambda config: None)
    language = parse_language(name)[0]
    extra = corpus.baselines["source"]["nats_per_token"] - language.entropy_rate
    floor = language.floor(size.seq_len) + extra

    def law(N, D, config):
        return floor + 20 * N**-0.5 + 400 * D**-0.5

    configs = known_entropy.configs_of(size, name, seed=0)
    losses(configs, law, "x", tmp_path / "runs.csv", noise=0.001)
    found = known_entropy.analyse(table.read(tmp_path / "runs.csv"), name, size.seq_len)
    assert found.floor == pytest.approx(floor)
    for estimate in found.estimates.values():
        assert estimate.value == pytest.approx(floor, rel=0.02)
        assert estimate.high - estimate.low < 0.05
    first = next(iter(found.estimates.values()))
    assert ("holds it" in found.summary) == (first.low <= floor <= first.high)
    assert "BELOW" not in found.summary
    said = known_entropy.coverage([found, found])
    assert len(said) == len(known_entropy.ESTIMATORS)
    assert f"inside {2 * first.holds(floor)} of 2" in said[0]
    for draw in (figures_floors.known_entropy, figures_floors.floors):
        draw([found, found]).savefig(tmp_path / "x.png")
    losses(configs, lambda N, D, c: law(N, D, c) - 0.5, "x", tmp_path / "runs.csv", noise=0.001)
    found = known_entropy.analyse(table.read(tmp_path / "runs.csv"), name, size.seq_len)
    assert "does NOT hold it" in found.summary and "BELOW" in found.summary


def test_the_best_rate_is_a_vertex_and_an_end_is_only_a_bound():
    rates = [0.001 * 2**i for i in range(6)]
    loss = [2 + 0.1 * np.log(rate / 0.005) ** 2 for rate in rates]
    found = transfer.best(rates[::-1], loss[::-1])
    assert found.status == "ok" and found.rate == pytest.approx(0.005)
    assert transfer.best(rates[3:], loss[3:]).status == "edge"
    diverged = [*loss[:3], *[float("nan")] * 3]
    assert transfer.best(rates, diverged).rate == pytest.approx(0.004), "beyond it no run survives"
    assert transfer.best(rates, [float("nan")] * 6).status == "failed"


def test_planted_drifts_of_the_best_rate_come_back(no_corpora, tmp_path):
    def law(N, D, config):
        r = config.model.d_model / 64
        best = 0.006 / (r if config.model.parameterization == "standard" else 1)
        if config.optim.clip:
            best = 0.008 * (config.batch_tokens / 2048) ** 0.25
        best *= 1.1 if config.seed and config.model.d_model == 128 else 1
        return 2 + 0.05 * np.log(config.optim.learning_rate / best) ** 2

    losses(transfer.runs(), law, "x", tmp_path / "runs.csv")
    widths, batches = transfer.settings(tmp_path / "runs.csv", transfer.SIZES["laptop"])
    assert len(widths) == 8 + 4 and len(batches) == 12
    assert "64 (standard): 1.00, 128 (standard): 1.10" in transfer.noise(widths)[0]
    for (kind, width, *_), found in ((key, value) for key, value in widths.items() if not key[2]):
        expected = 0.006 * (64 / width if kind == "standard" else 1)
        if found.status == "ok":
            assert found.rate == pytest.approx(expected, rel=1e-6)
    assert re.search(r"falls 1 times, as width\^-?0.00$", transfer.drift(widths, "mup"))
    assert re.search(r"falls 8 times, as width\^-1.00$", transfer.drift(widths, "standard"))
    for figure in (figures_rates.widths(widths), figures_rates.batches(batches)):
        figure.savefig(tmp_path / "x.png")


def test_a_report_without_runs_takes_the_committed_table_or_says_what_to_do(
    tmp_path, monkeypatch, config, capsys
):
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    with pytest.raises(ValueError, match=r"python -m lab run experiments\.mine:smoke"):
        tables.table_of("mine-smoke", Store(tmp_path / "runs"), lambda: [config], tmp_path / "out")
    (tmp_path / "mine.csv").write_text("params,tokens,loss\n")
    path = tables.table_of("mine", Store(tmp_path / "runs"), lambda: [config], tmp_path / "out")
    assert path.read_text().startswith("params") and "as committed" in capsys.readouterr().out
    with pytest.raises(ValueError, match="none of its runs as --set changes them"):
        tables.table_of("mine", Store(tmp_path / "runs"), [config], tmp_path / "out", changed=True)


def test_a_corpus_is_prepared_for_a_report_only_where_the_store_has_runs_on_it(tmp_path, monkeypatch, config):
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    (tmp_path / "mine.csv").write_text("params,tokens,loss\n")
    store, asked = Store(tmp_path / "runs"), []
    runs = lambda: asked.append(1) or [config]  # noqa: E731
    tables.table_of("mine", store, runs, tmp_path / "out", ["linux-6.1", config.data.corpus])
    assert not asked
    store.claim(config).release()
    tables.table_of("mine", store, runs, tmp_path / "out", ["linux-6.1"])
    assert not asked, "another corpus"
    tables.table_of("mine", store, runs, tmp_path / "out", ["linux-6.1", config.data.corpus])
    assert len(asked) == 1
    (store.folder(config.run_id) / "config.json").write_text("{")
    tables.table_of("mine", store, runs, tmp_path / "out", ["linux-6.1"])
    assert len(asked) == 2, "what can't be read may have learned from it"


@pytest.mark.parametrize(
    ("experiment", "drawn"),
    [
        pytest.param(quickstart, "report.html", marks=pytest.mark.long),  # test_end_to_end reports one
        pytest.param(plain, "report.html", marks=pytest.mark.long),  # the quickstart's report
        (chinchilla2022, "envelope.png"),
        (porian2024, "walk.png"),
        (rates, "runs.csv"),
        (transfer, "batches.png"),
    ],
    ids=lambda found: getattr(found, "__name__", ""),
)
def test_a_committed_table_is_reported_without_store_corpus_or_network(
    experiment, drawn, tmp_path, monkeypatch
):
    def refuse(*_, **__):
        raise AssertionError("a corpus was prepared")

    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(corpora, "prepare", refuse)
    monkeypatch.setattr(corpora, "prepare_first", refuse)
    (tmp_path / "out").mkdir()
    experiment.report(Store(tmp_path / "runs"), tmp_path / "out")
    assert (tmp_path / "out" / drawn).exists() and not (tmp_path / "data").exists()


def test_the_coordinate_check_is_drawn(tmp_path):
    layers = {name: [1.0, 1.02, 0.99] for name in coordinates.layers(2)}
    found = coordinates.Check((64, 128, 256), 4, layers, layers)
    assert found.spread()["stream"] == pytest.approx(1.02 / 0.99)
    figures_rates.coordinates({"standard": found, "mup": found}).savefig(tmp_path / "x.png")


def test_runs_that_differ_in_what_was_measured_alone_are_replicates():
    assert set(export.MEASURED) <= set(replicates.OUTCOMES)


def test_what_the_readme_says_of_predictions_and_floors_stands_in_the_tables():
    told = {path.stem: path.read_text() for path in index.README.parent.glob("answers/*.md")}
    assert told["prediction"].count(": inside") == 18 and told["prediction"].count(": OUTSIDE") == 5
    held = re.findall(r"(\w+), huber-log with (\w+) .*?inside (\d+) of 10", told["known_entropy"])
    found = {(kind, how): int(count) for kind, how, count in held}
    assert found["markov", "profile"] + found["grammar", "profile"] == 20
    silent = re.findall(r"profile intervals[^;]*;[^;]*;[^;]*; (\d+) fits", told["known_entropy"])
    assert sum(map(int, silent)) > 10, "most fits say that they are not identified"
    assert found["grammar", "pairs"] == 5
