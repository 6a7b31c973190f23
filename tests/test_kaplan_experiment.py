"""What is planted in runs of the Kaplan experiment comes back from its report's functions."""

from types import SimpleNamespace

import numpy as np
import pytest

from analysis.laws import KaplanSteps
from analysis.tables import table
from experiments import kaplan2020
from experiments.reports import figures_kaplan, kaplan_curves
from lab.data import corpora
from lab.models import counts
from lab.plan import grid
from lab.store import export
from lab.store.store import Store

S_MIN, B_CRIT = 300, 3000


def loss_at(config, tokens):
    """A surface, worse by 1 % a head beyond the second; batches as McCandlish et al. say."""
    N = counts.count_params(config.model).params
    if config.optim.schedule == "constant":
        return 1.0 + S_MIN / (tokens / (config.batch_tokens + B_CRIT))
    return (N**-0.1 * 5 + 200 * tokens**-0.4) * 1.01 ** max(0, config.model.n_head - 2)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kaplan")
    text = SimpleNamespace(name="linux-6.1", sha256="ab" * 32, n_train=99_053_774, vocab_size=256)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpora, "prepare_first", lambda *_, **__: text)
        parts, configs = kaplan2020.parts(), kaplan2020.runs()
    rows, lines = [], ["run_id,params,step,tokens,flops,loss"]
    for part, own in parts.items():
        for config in own:
            loss = loss_at(config, config.tokens) * (1 + 0.001 * config.seed)
            record = {"status": "done", "steps": config.steps, "loss": loss, "loss_se": 0.001}
            rows.append(export.row(config, record, f"kaplan2020:{part}"))
    for config in configs:
        N, each = counts.count_params(config.model).params, counts.flops_exact(config.model)
        for D in np.geomspace(config.tokens / 100, config.tokens, 12):
            lines.append(f"{config.run_id},{N},{D:.0f},{D},{each * D},{loss_at(config, D)}")
    export.write(rows, folder / "runs.csv")
    (folder / "curves.csv").write_text("\n".join(lines))
    return folder, parts


def part(planted, name):
    return kaplan2020.part_of(planted[0] / "runs.csv", "kaplan2020", name)


def test_every_part_is_priced_and_trained_once(planted):
    configs = [config for own in planted[1].values() for config in own]
    assert len(grid.unique(configs)) == 30 == len(configs) - 1, "one run is of two parts"
    price = grid.price(grid.unique(configs))
    assert (
        price.flops == pytest.approx(5.5e13, rel=0.02)
        and price.flops / grid.CORE_FLOPS_PER_SECOND / 2 <= 20 * 60
    )
    hidden = [counts.count_params(config.model).hidden for config in planted[1]["shapes"]]
    assert max(hidden) / min(hidden) < 1.12


def test_a_planted_exponent_comes_back():
    at = np.geomspace(1e4, 1e6, 7)
    found = kaplan2020.power("N", at, 5 * at**-0.1)
    assert found.bare.law.alpha == pytest.approx(0.1, abs=1e-4)
    figures_kaplan.powers([found, found]).savefig("/dev/null", format="png")


def test_larger_models_need_fewer_tokens_where_that_is_planted(planted, tmp_path):
    curves, rows = table.read(planted[0] / "curves.csv"), part(planted, "sizes")
    found = kaplan_curves.efficiency(rows, curves)
    assert (np.diff(found.tokens[0]) < 0).all()
    N, level = found.params[-1], found.levels[0]
    exact = (200 / (level - 5 * N**-0.1)) ** 2.5
    assert found.tokens[0, -1] == pytest.approx(exact, rel=0.02)
    along = kaplan_curves.along_curves(rows, curves)
    assert along.law.alpha_N > 0 and len(along.runs) < len(curves)
    figures_kaplan.efficiency(rows, curves, along).savefig(tmp_path / "x.png")


def test_shapes_are_compared_with_the_first_and_its_seeds(planted, tmp_path):
    found = kaplan2020.shapes(part(planted, "shapes"))
    gap = dict(zip(found.names, found.gap, strict=True))
    assert gap["2 x 64, 8 heads"] - gap["2 x 64, 4 heads"] == pytest.approx(4 * np.log(1.01))
    assert found.seeds == 4 and found.noise == pytest.approx(0.00129, rel=0.01)
    figures_kaplan.shapes(found).savefig(tmp_path / "x.png")


def test_the_critical_batch_comes_back(planted, tmp_path):
    curves = table.read(planted[0] / "curves.csv")
    found = kaplan_curves.critical_batches(part(planted, "batches"), curves)
    for one in found:
        assert one.fitted.law.B_crit == pytest.approx(B_CRIT, rel=0.05)
    assert kaplan_curves.LEVELS[-1] * found[0].loss == pytest.approx(found[-1].loss)
    nothing = kaplan_curves.read_noise(tmp_path / "none.csv")
    assert nothing.summary.endswith("not measured")
    figures_kaplan.critical_batch(found, nothing).savefig(tmp_path / "x.png")


def test_l_of_n_and_s_comes_back_from_learning_curves(planted):
    """Planted as eq. 1.6 of Kaplan et al. has it, along the runs of the grid."""
    rows, law = part(planted, "sizes"), KaplanSteps(N_c=1e9, S_c=40, alpha_N=0.1, alpha_S=0.6)
    steps = np.geomspace(10, 5000, 12)
    names = np.repeat(rows.column("run_id"), len(steps))
    each = np.tile(steps, len(rows))
    curves = table.from_columns(
        "planted",
        run_id=names,
        step=each,
        tokens=each * 1024,
        loss=law.loss(np.repeat(rows.params, len(steps)), each),
    )
    found = kaplan_curves.along_curves(rows, curves)
    assert found.law.alpha_N == pytest.approx(0.1, rel=1e-3)
    assert found.law.alpha_S == pytest.approx(0.6, rel=1e-3)


def test_runs_of_two_parts_stand_in_both(planted, tmp_path):
    lengths, sizes = part(planted, "lengths"), part(planted, "sizes")
    shared = set(lengths.column("run_id")) & set(sizes.column("run_id"))
    assert len(shared) == 1
    with pytest.raises(ValueError, match="train them with"):
        kaplan2020.tables.table_of("none", Store(tmp_path), lambda: planted[1], tmp_path / "out")
