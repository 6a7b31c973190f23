import gzip
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.frontiers import convention
from analysis.tables import budgets, cells, roles, table, where
from analysis.tables.cells import Column
from analysis.tables.rows import repeats

HEAD = "run_id,status,params,tokens,loss\n"


def write(tmp_path: Path, text: str, name: str = "runs.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("left_out", ["params", "tokens", "flops"])
def test_two_of_params_tokens_flops_give_the_third_and_say_so(left_out):
    columns = {"params": [1e6, 2e6], "tokens": [1e8, 3e8], "flops": [6e14, 3.6e15]}
    known = columns.pop(left_out)
    runs = table.from_columns(loss=[3.0, 2.5], **columns)
    np.testing.assert_allclose(runs.column(left_out), known)
    assert any(left_out in note for note in runs.notes)


def test_headers_of_others_are_recognised_and_named_in_the_notes(tmp_path):
    runs = table.read(write(tmp_path, "N;D;val_loss\n1e6;1e8;3\n2e6;1e8;2.9\n"))
    assert runs.params.tolist() == [1e6, 2e6] and runs.loss.tolist() == [3, 2.9]
    assert "params = column N" in runs.notes
    given = table.read(write(tmp_path, "a,b,c\n1,2,3\n4,5,6\n"), params="a", tokens="b", loss="c")
    assert given.tokens.tolist() == [2, 5]


def test_json_lines_equal_the_same_csv(tmp_path):
    lines = '{"params": 1e6, "tokens": 1e8, "loss": null, "status": "diverged"}\n'
    lines += '{"params": 2e6, "tokens": 1e8, "loss": 2.5, "status": "done"}\n'
    a = table.read(write(tmp_path, lines, "runs.jsonl"))
    b = table.read(write(tmp_path, "params,tokens,loss,status\n1e6,1e8,,diverged\n2e6,1e8,2.5,done\n"))
    assert a.dropped() == b.dropped() == [(1, "status is diverged")]
    np.testing.assert_array_equal(a.loss, b.loss)


def test_runs_without_a_result_are_flagged_and_kept(tmp_path):
    text = HEAD + "a,done,1e6,1e8,3\nb,diverged,1e6,1e8,\nc,done,1e6,1e8,nan\nd,done,,1e8,3\n"
    runs = table.read(write(tmp_path, text))
    assert len(runs) == 4 and len(runs.usable()) == 1
    assert dict(runs.dropped()) == {
        2: "status is diverged",
        3: "loss is empty or not a number",
        4: "params is empty or not a number",
    }
    assert (1, "by hand") in runs.flag(1, "by hand").dropped()


def test_a_row_repeated_in_every_column_counts_once(tmp_path):
    runs = table.read(write(tmp_path, "params,tokens,loss\n1,2,3\n1,2,4\n1,2,3\n"))
    assert [row for row, _ in runs.dropped()] == [3]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["empty"]),
        ("params,tokens,loss\n", ["no rows"]),
        ("params,params,loss\n1,2,3\n", ["'params' twice"]),
        (HEAD + "a,done,1e6,1e8,3\nb,done,0,1e8,3\n", ["row 2", "column params", "0", "params > 0"]),
        (HEAD + "a,done,1e6,-5,3\n", ["row 1", "column tokens", "-5"]),
        (HEAD + "a,done,1e6,1e8,big\n", ["row 1", "column loss", "'big'"]),
        (HEAD + "a,done,1e6,1e8\n", ["row 1", "4 cells", "5"]),
        (b"params,tokens,loss\n1,2,\xff\xe9\n", ["line 2", "UTF-8"]),
    ],
)
def test_a_bad_table_is_one_clear_message(tmp_path, text, words):
    path = write(tmp_path, text)
    with pytest.raises(ValueError) as caught:
        table.read(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    for word in words:
        assert word in message


def test_a_missing_column_is_named_with_the_option_that_gives_it(tmp_path):
    runs = table.read(write(tmp_path, "params,tokens,x\n1,2,3\n"))
    with pytest.raises(ValueError, match=r"no column for loss.*--loss COL"):
        _ = runs.loss


def test_a_filter_can_keep_bad_rows_out(tmp_path):
    path = write(tmp_path, HEAD + "a,done,1e6,1e8,3\nb,done,1e6,1e8,zero\n")
    assert len(table.read(path, where="run_id == 'a'")) == 1


def test_a_million_rows_are_read_in_seconds(tmp_path):
    lines = [f"{i},{i + 1e6:.0f},{1e8 + i},{2 + 1 / (i + 1):.9f}" for i in range(200_000)]
    path = write(tmp_path, "id,params,tokens,loss\n" + "\n".join(lines) + "\n")
    start = time.process_time()  # of the processor: a busy machine does not stretch it
    assert len(table.read(path).usable()) == 200_000
    assert time.process_time() - start < 4  # a fifth of a million in a fifth of 20 s


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.4B", 1.4e9),
        ("2.1T", 2.1e12),
        ("74M", 74e6),
        ("74m", 74e6),
        ("12k", 12e3),
        ("~70B", 70e9),
        ("70B params", 70e9),
        ("1.5 million", 1.5e6),
        ("300 billion tokens", 3e11),
        ("1,000,000", 1e6),
        ("1 000 000", 1e6),
        ("1_000", 1e3),
        ("1'000'000", 1e6),
        ("6e+18", 6e18),
        ("6E18", 6e18),
        ("1e+19 FLOPs", 1e19),
        ("10^19", 1e19),
        ("10**19", 1e19),
        ("6×10^18", 6e18),
        ("6 x 10^18", 6e18),
        ("3x10^18", 3e18),
        ("3X10**18", 3e18),
        ("6·10¹⁸", 6e18),
        ("5 ZFLOPs", 5e21),
        ("2 PF-days", 1.728e20),
        ("10^999", np.inf),
        ("3.1 nats", 3.1),
        ("C=6e18", 6e18),
        ("10^18.5", 10**18.5),
        ("12.5 %", 0.125),
        ("N/A", np.nan),
        ("—", np.nan),
    ],
)
def test_a_cell_is_worth_what_a_reader_takes_it_for(text, value):
    found, how = cells.number(text)
    np.testing.assert_allclose(found, value)
    assert how != "bad"


@pytest.mark.parametrize(
    "text", ["big", "1.2.3", "6e18x", "x10^3", "610^3", "1..2", "70B70", "3,14", "5E", "1e18-1e19"]
)
def test_what_is_no_number_is_not_made_one(text):
    assert cells.number(text)[1] == "bad"


@given(st.floats(1e-3, 999), st.sampled_from([("k", 1e3), ("M", 1e6), ("B", 1e9), ("T", 1e12)]))
def test_a_suffix_multiplies(value, suffix):
    letter, factor = suffix
    assert cells.number(f"{value!r}{letter}")[0] == pytest.approx(value * factor)


@given(st.integers(1000, 10**15))
def test_thousands_separators_change_nothing(value):
    for mark in (",", " ", "'", "_"):
        assert cells.number(f"{value:,}".replace(",", mark))[0] == value
    if value >= 10**6:  # one group alone is ambiguous
        assert cells.read([f"{value:,}".replace(",", ".")]).values[0] == value


@pytest.mark.parametrize(
    ("header", "role", "factor"),
    [
        ("params (M)", "params", 1e6),
        ("Params [B]", "params", 1e9),
        ("params_M", "params", 1e6),
        ("params_millions", "params", 1e6),
        ("Params in billions", "params", 1e9),
        ("params/1e6", "params", 1e6),
        ("params (x10^6)", "params", 1e6),
        ("mparams", "params", 1e6),
        ("N (M)", "params", 1e6),
        ("# Params", "params", 1),
        ("nParams", "params", 1),
        ("parameter_count", "params", 1),
        ("Non-embedding params (M)", "params", 1e6),
        ("Model size", "params", 1),
        ("tokens_B", "tokens", 1e9),
        ("Tokens (B)", "tokens", 1e9),
        ("throughput/total_tokens", "tokens", 1),
        ("TRAINING TOKENS", "tokens", 1),
        ("tokens, billions", "tokens", 1e9),
        ("throughput/total_gflops", "flops", 1e9),
        ("compute_pf_days", "flops", 8.64e19),
        ("Compute (ZFLOP)", "flops", 1e21),
        ("Training compute (FLOP)", "flops", 1),
        ("flops (1e18)", "flops", 1e18),
        ("FLOPs (×10¹⁸)", "flops", 1e18),
        ("C (6ND)", "flops", 1),
        ("Params (M, non-embedding)", "params", 1e6),
        ("Parameter (Mio)", "params", 1e6),
        ("params (incl. embeddings)", "params", 1),
        ("Params (active)", "params", 1),
        ("N (model size)", "params", 1),
        ("D (training tokens)", "tokens", 1),
        ("loss (val)", "loss", 1),
        ("C (FLOPs)", "flops", 1),
        ("IsoFLOP budget", "budget", 1),
        ("compute_budget", "budget", 1),
        ("Final Val Loss", "loss", 1),
        ("val/loss", "loss", 1),
        ("paloma/c4_en/bpb", "loss", 1),
        ("eval_loss (nats)", "loss", 1),
        ("eval/paloma/macro_loss", "loss", 1),
    ],
)
def test_headers_are_read_as_a_reader_does(header, role, factor):
    assigned = roles.assign("t", [Column(name, np.ones(2)) for name in (header, "step")], {})
    assert {role: column.name for role, column in assigned.columns.items()} == {role: header}
    assert assigned.factors.get(role, 1) == factor


@pytest.mark.parametrize(
    "header",
    [
        "tokens_per_second",
        "Tokens/Param",
        "tokens per param",
        "flops_per_token",
        "unique_tokens",
        "batch_tokens",
        "params_embed",
        "params_1e18",
        "loss_se",
        "z_loss",
        "n_layers",
        "step",
        "d",
        "learning_rate",
        "num_train_steps",
        "seq_len",
        "loss_scale",
        "size",
        "Compute (GPU-hours)",
        "compute ($)",
        "FLOPs (per token)",
        "FLOPs (per second)",
        "params (log)",
        "log_params",
        "log10(N (M))",
        "tokens (per step)",
        "tokens (B, unique)",
        "loss (se)",
    ],
)
def test_headers_that_only_look_alike_play_no_role(header):
    assert roles.assign("t", [Column(header, np.ones(2))], {}).columns == {}


@pytest.mark.parametrize(
    ("header", "log"),
    [
        ("log10_params,log10_tokens,loss", np.log10),
        ("log10(N),params (log10),Log10 D,loss", np.log10),
        ("log₁₀(params),lg(tokens),loss", np.log10),
        ("ln(N),tokens_ln,loss", np.log),
        ("N (log2),log2(D),loss", np.log2),
    ],
)
def test_counts_given_as_logarithms_are_raised_again_and_said(tmp_path, header, log):
    twice = header.count(",") == 3  # two logarithms of params: the first is taken
    lines = [",".join(map(str, [log(n)] * (1 + twice) + [log(d), y])) for n, d, y in GRID]
    runs = table.read(write(tmp_path, "\n".join([header, *lines])))
    assert runs.params == pytest.approx([n for n, _, _ in GRID], rel=1e-9)
    assert runs.tokens == pytest.approx([d for _, d, _ in GRID], rel=1e-9)
    assert any(f"to the power of column {header.partition(',')[0]}" in note for note in runs.notes)


@pytest.mark.parametrize(
    "header", ["log10_loss", "loss (log10)", "eval/log10_loss", "ln_loss", "ln_val_loss"]
)
def test_a_loss_given_as_a_logarithm_is_raised_again_and_said(header):
    log = np.log if "ln" in header else np.log10
    runs = table.from_columns(params=[1e8, 2e8], tokens=[1e9] * 2, **{header: log([3.0, 2.5])})
    assert runs.loss == pytest.approx([3.0, 2.5], rel=1e-12)
    assert any(f"to the power of column {header}" in note for note in runs.notes)


@pytest.mark.parametrize("header", ["loss_lg", "val_loss_ln"])
def test_a_suffix_of_a_loss_alone_is_no_logarithm(header):
    runs = table.from_columns(params=[1e8, 2e8], tokens=[1e9] * 2, **{header: [3.0, 2.5]})
    assert runs.loss.tolist() == [3.0, 2.5]


@pytest.mark.parametrize("header", ["log_perplexity", "eval/log_ppl", "ln_ppl", "log_loss", "log_eval_loss"])
def test_the_logarithm_of_a_perplexity_is_the_loss(header):
    runs = table.from_columns(params=[1e8, 2e8], tokens=[1e9] * 2, **{header: [3.0, 2.5]})
    assert runs.loss.tolist() == [3.0, 2.5] and ("nats" in runs.loss_unit) == ("loss" not in header)


@pytest.mark.parametrize("header", ["Final Val Loss", "Valid loss", "CE", "bpc", ""])
def test_whole_numbers_under_a_letter_are_layers_and_no_loss(header):
    columns = {"params": [1e8, 2e8], "tokens": [1e9] * 2} | ({header: [3.0, 2.5]} if header else {})
    runs = table.from_columns(L=[2, 3], **columns)
    assert runs.roles.get("loss", "") == header
    assert table.from_columns(L=[2.5, 3], **columns).roles["loss"] == "L"


def test_a_count_stands_before_its_logarithm_and_too_large_a_logarithm_is_none(tmp_path):
    lines = [f"{np.log10(n)},{n},{d},{y}" for n, d, y in GRID]
    both = table.read(write(tmp_path, "\n".join(["log10_params,params,tokens,loss", *lines])))
    assert both.roles["params"] == "params"
    plain = "\n".join(["log10_params,tokens,loss", *(f"{n},{d},{y}" for n, d, y in GRID)])
    with pytest.raises(ValueError, match="no column for params"):
        table.read(write(tmp_path, plain)).params.sum()


GRID = [
    (n, d, 1.8 + 480 / n**0.34 + 2000 / d**0.36)
    for n in (7.4e7, 1.4e8, 3.6e8, 1e9)
    for d in (1e9, 4e9, 1.6e10)
]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("params (M),tokens_B,loss", lambda n, d, y: f"{n / 1e6},{d / 1e9},{y}"),
        ("Params,Tokens,Final Val Loss", lambda n, d, y: f"{n / 1e6!r}M,{d / 1e9!r}B,{y}"),
        ("#params;tokens;val loss", lambda n, d, y: f"{n:.0f};{d:.0f};{y}".replace(".", ",")),
        ("params\ttokens\tval/loss\t", lambda n, d, y: f"{n:,.0f}\t{d:,.0f}\t{y}\t"),
        (",N,D,L", lambda n, d, y: f"0,{n},{d},{y}"),
        ("| params | tokens | loss |\n|---|---|---|", lambda n, d, y: f"| {n} | {d} | {y} |"),
        ("# a comment, first\nparams,tokens,loss", lambda n, d, y: f"{n},{d},{y}\n# again"),
        ("# params tokens loss", lambda n, d, y: f"{n} {d} {y}"),
        ('"model","tokens","eval_loss (nats)"', lambda n, d, y: f'"chin-{n / 1e6:g}M","{d}","{y}"'),
        ("C,N,loss", lambda n, d, y: f"{6 * n * d:.17g} FLOPs,{n},{y}"),
        ("compute_budget,tokens,loss", lambda n, d, y: f"{6 * n * d:.17g},{d},{y}"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_dialects_give_the_same_numbers(tmp_path, header, row, end):
    text = header + "\n" + "\n".join(row(*one) for one in GRID) + "\n\n\n"
    data = b"\xef\xbb\xbf" + text.replace("\n", end).encode()
    for name, content in (("t.csv", data), ("t.csv.gz", gzip.compress(data))):
        runs = table.read(write(tmp_path, content, name))
        assert len(runs.usable()) == len(GRID)
        for found, wanted in zip((runs.params, runs.tokens, runs.loss), zip(*GRID, strict=True), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-9)
            assert all("names of runs" in line for line in runs.cautions)


def test_a_unit_in_header_and_cell_is_refused(tmp_path):
    with pytest.raises(ValueError, match="header and its cells state a unit each"):
        table.read(write(tmp_path, "params (M),tokens,loss\n70M,1e9,3\n"))
    with pytest.raises(ValueError, match="header and its cells state a unit each"):
        table.read(write(tmp_path, "params,Compute (PF-days),loss\n7e7,2 PF-days,3\n"))


def test_json_of_runs_in_four_layouts(tmp_path):
    records = [{"n_params": n, "tokens": d, "final_loss": y, "log": [{"loss": 9}]} for n, d, y in GRID]
    columns = {name: [record[name] for record in records] for name in ("n_params", "tokens")}
    columns["final_loss"] = [record["final_loss"] for record in records]
    layouts = [
        json.dumps(records, indent=2),
        json.dumps({f"{i}": r for i, r in enumerate(records)}),
        json.dumps(columns),
        "\n".join(map(json.dumps, records)),
    ]
    for text in layouts:
        runs = table.read(write(tmp_path, text, "t.json"))
        np.testing.assert_allclose(runs.loss, [y for _, _, y in GRID])


def test_a_unit_that_was_read_is_said(tmp_path):
    runs = table.read(write(tmp_path, "params (M),tokens,loss (bits)\n70,1.4B,3\n140,2B,2.9\n"))
    said = convention(runs)
    assert "params = column 'params (M)' × 1e+06" in said
    assert "loss in bits/token" in said
    assert "tokens = column tokens, suffixes such as M and B worked out" in said
    assert "bits/byte" in convention(table.read(write(tmp_path, "N,D,c4/bpb\n1e8,1e9,1\n")))


@pytest.mark.parametrize(
    ("header", "factor"),
    [
        ("zettaFLOPs", 1e21),
        ("exa_flops", 1e18),
        ("Peta FLOPS", 1e15),
        ("train_teraflops", 1e12),
        ("Compute (gigaFLOPs)", 1e9),
        ("compute [Exa flops]", 1e18),
    ],
)
def test_flops_in_words_are_scaled(tmp_path, header, factor):
    path = write(tmp_path, f"{header},params,loss\n2,1e8,3\n4,2e8,2.9\n")
    for runs in (table.read(path), table.read(path, flops=header)):
        np.testing.assert_allclose(runs.flops, [2 * factor, 4 * factor])


@pytest.mark.parametrize("unit", ["ppl", "perplexity"])
def test_a_loss_in_perplexity_is_turned_into_nats(tmp_path, unit):
    runs = table.read(write(tmp_path, f"N,D,val loss ({unit})\n1e8,1e9,20\n"))
    assert runs.loss[0] == pytest.approx(np.log(20)) and runs.loss_unit == "nats/token"
    runs = table.read(write(tmp_path, f"N,D,loss ({unit}),loss\n1e8,1e9,20,3\n"))
    assert runs.loss[0] == 3


def test_where_filters_by_the_tokens_that_are_fitted(tmp_path):
    path = write(tmp_path, "params,steps,batch_tokens,bt,loss\n1e8,1000,5e5,1e6,3\n2e8,2000,5e5,1e6,2.9\n")
    assert table.read(path, where="tokens > 0.9e9", batch_tokens="bt").tokens.tolist() == [1e9, 2e9]
    path = write(
        tmp_path, "N,tokens (B),flops,loss\n1e8,1,6e17,3\n1e8,,2.4e18,2.9\n1e8,9,5.4e18,2.8\n", "b.csv"
    )
    assert table.read(path, where="tokens > 2e9").rows.tolist() == [2, 3]


def test_where_knows_roles_and_several_words(tmp_path):
    path = write(tmp_path, "Params (M),Tokens (B),val loss,flops\n70,1,3,1\n140,2,2.9,2\n")
    for text in ("params > 1e8", "`Params (M)` > 100", "tokens > 1e9 and loss < 2.95", "flops > 1"):
        assert table.read(path, where=text).rows.tolist() == [2], text
        assert table.read(path).where(text).rows.tolist() == [2], text
    computed = write(tmp_path, "N,D,val_ppl\n1e8,1e9,20\n2e8,2e9,10\n", "two.csv")
    assert table.read(computed, where="flops < 1e18 and loss > 2.9").rows.tolist() == [1]
    with pytest.raises(ValueError, match=r"no column 'val' .*`val loss`.* in backticks"):
        table.read(path, where="val loss < 3")
    with pytest.raises(ValueError, match="--where '`val loss` > 0'"):
        table.read(write(tmp_path, "N,D,val loss\n1e8,1e9,-1\n2e8,1e9,2\n", "below.csv"))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("params,tokens,loss\n1e8,300,3\n2e8,600,2.9\n", "tokens from 300 to 600"),
        ("N,D,loss\n64,1e9,3\n128,1e9,2.9\n", "params from 64 to 128"),
        ("params,tokens,flops,loss\n1e8,1e9,600,3\n2e8,1e9,1200,2.9\n", "units agree"),
        ("params (B),tokens,loss\n1e11,1e11,3\n2e11,1e11,3\n", "counted twice"),
    ],
)
def test_a_unit_that_may_be_missing_is_a_caution(tmp_path, text, word):
    runs = table.read(write(tmp_path, text))
    assert any(word in caution for caution in runs.cautions)
    assert word not in convention(runs)


def test_ambiguity_is_refused_where_it_matters_and_only_there(tmp_path):
    path = write(tmp_path, "flops,n_opt,c4/loss,wiki/loss\n1e18,1e8,3,3\n1e19,3e8,2.9,2.9\n")
    runs = table.read(path, x="flops", y="n_opt")
    assert runs.column("x").tolist() == [1e18, 1e19]
    with pytest.raises(ValueError, match=r"c4/loss, wiki/loss.*--loss COL"):
        _ = runs.loss
    with pytest.raises(ValueError, match="decimal or a thousand"):
        table.read(write(tmp_path, "params;tokens;loss\n1e6;1e8;2,345\n"))
    assert table.read(write(tmp_path, "N;D;loss\n1e6;1,5e8;2,345\n")).loss[0] == 2.345


def test_width_and_depth_stand_for_params_and_say_so(tmp_path):
    runs = table.read(write(tmp_path, "d_model,n_layers,flops,loss\n512,8,1e18,3\n"))
    assert runs.params[0] == 12 * 8 * 512**2
    assert "12·n_layers·d_model² without embeddings" in convention(runs)


def test_a_text_budget_is_left_alone(tmp_path):
    text = "params,tokens,loss,budget\n1e8,1e9,3,small\n2e8,1e9,2.9,large\n"
    assert not table.read(write(tmp_path, text)).has("budget")
    text = text.replace("small", "6E18").replace("large", "1e+19 FLOPs")
    assert table.read(write(tmp_path, text)).budget.tolist() == [6e18, 1e19]


def test_an_index_hides_no_duplicate_and_groups_keep_their_digits(tmp_path):
    runs = table.read(write(tmp_path, ",params,tokens,loss\n0,1,2,3\n1,1,2,4\n2,1,2,3\n"))
    assert [row for row, _ in runs.dropped()] == [3]
    assert len(table.from_columns(seed=[1234567.0, 1234568.0], loss=[1.0, 2.0]).by("seed")) == 2


@given(
    st.lists(
        st.tuples(
            st.sampled_from([1.0, 2.0, np.nan]), st.sampled_from("ab "), st.sampled_from([0.0, -0.0, 1.0])
        ),
        min_size=1,
        max_size=30,
    )
)
def test_repeats_are_the_rows_that_a_set_has_seen(rows):
    columns = [
        np.array(column, float if i != 1 else object) for i, column in enumerate(zip(*rows, strict=True))
    ]
    keys = [tuple("nan" if x != x else x for x in row) for row in rows]
    seen = [key in keys[:i] for i, key in enumerate(keys)]
    assert repeats(columns, len(rows)).tolist() == seen


def test_a_caution_on_units_is_of_the_rows_in_view():
    small, counts = np.array([64.0, 128, 256]), np.array([1e8, 2e8, 4e8])
    runs = table.from_columns(
        params=np.concatenate([counts, small]),
        tokens=np.full(6, 1e10),
        loss=np.linspace(3, 2, 6),
        study=np.repeat(np.array(["a", "b"], object), 3),
    )
    groups = runs.by("study")
    assert not groups["a"].cautions
    assert any("params from 64 to 256" in line for line in groups["b"].cautions)


def test_scattered_flops_are_refused_with_the_dense_levels(tmp_path):
    rng = np.random.default_rng(0)
    sizes = np.geomspace(1e7, 1e9, 9)
    flops = [level * np.exp(rng.uniform(-0.05, 0.05, 9)) for level in (1e18, 9e18)]
    flops = np.concatenate([*flops, np.geomspace(5e17, 3e19, 30)])
    params = np.concatenate([sizes, sizes, np.full(30, 1e8)])
    runs = table.from_columns(params=params, flops=flops, loss=np.full(48, 3.0) + params / 1e12)
    with pytest.raises(ValueError, match=r"give --budgets: 1e18,9e18 have") as caught:
        budgets.group(runs, None, [])
    assert "within 10 %" in str(caught.value)
    alone = table.from_columns(params=np.full(30, 1e8), flops=flops[18:], loss=np.linspace(3, 2, 30))
    with pytest.raises(ValueError, match=r"no isoFLOP table.*1e18,3e18$"):
        budgets.group(alone, None, [])


COLUMNS = {"x": np.array([1.0, 2.0, 3.0, np.nan]), "name": np.array(["a", "b", "it's", ""], object)}


@given(st.floats(-1e6, 1e6), st.sampled_from(["==", "!=", "<", "<=", ">", ">="]))
def test_where_compares_like_python(number, sign):
    expected = [eval(f"x {sign} {number!r}", {"x": x}) for x in COLUMNS["x"]]
    assert where.mask(f"x {sign} {number!r}", COLUMNS).tolist() == expected


@given(st.text())
def test_where_never_fails_but_with_its_own_message(text):
    try:
        where.mask(text, COLUMNS)
    except ValueError as error:
        assert "--where" in str(error)


@given(st.text(min_size=1).filter(lambda s: "\x00" not in s))
def test_any_quoted_text_finds_itself(text):
    columns = {"name": np.array([text, text + "x"], object)}
    quoted = "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    assert where.mask(f"name == {quoted}", columns).tolist() == [True, False]


def test_where_binds_not_before_and_before_or():
    mask = where.mask("x == 1 or x == 2 and not name == 'b'", COLUMNS)
    assert mask.tolist() == [True, False, False, False]
    assert where.mask("(x==1 or x==2) and not name=='b'", COLUMNS).tolist() == [True] + [False] * 3
    assert where.mask("1 < x <= 3", COLUMNS).tolist() == [False, True, True, False]


def test_where_is_never_run_as_code(tmp_path):
    for attempt in ("__import__('os').system('true')", "x.__class__ == 1", "open('a')", "(" * 5000):
        with pytest.raises(ValueError, match="--where"):
            where.mask(attempt, COLUMNS)


def test_published_tables_read_whole():
    folder = os.environ.get("SCALING_DATA")
    if not folder:
        pytest.skip("SCALING_DATA names no folder of published tables")
    runs = table.read(Path(folder) / "chinchilla_fig4.csv")
    assert len(runs) == 245 and not runs.dropped()
    assert len(runs.where("outlier == 0")) == 240
