"""The words of headers: by which of them each meaning is known, and a header read apart.

All aliases stand here: of roles (`ALIASES`, `PATTERNS`) and of the other columns that the package
looks for.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property

from analysis.tables import units

ALIASES = {  # of each role, the best first; letters alone are read with their capitals
    "params": (
        "params n_params N parameters num_params num_parameters model_params param_count model_size "
        "n_parameters nparams"
    ).split(),
    "tokens": (
        "tokens n_tokens D num_tokens training_tokens train_tokens tokens_seen token_count total_tokens "
        "ntokens toks dataset_size"
    ).split(),
    "flops": (
        "flops C compute flop training_flops train_flops total_flops n_flops training_flop "
        "training_compute train_compute"
    ).split(),
    "loss": (  # held-out ones first
        "val_loss validation_loss eval_loss test_loss heldout_loss held_out_loss loss_val loss L final_loss "
        "cross_entropy"
    ).split(),
    "budget": ("budget flops_budget flop_budget compute_budget budget_flops isoflop isoflop_budget").split(),
}
EMBEDDINGS = r"(?:non|no|without|w_?o|excl(?:uding)?|incl(?:uding)?|with)_?emb(?:ed(?:ding)?)?s?"
COUNT = r"(?:(?:n|nb|nr|num|no|number|count|of|total|model|size)_)*"
PATTERNS = {  # further headers of a role, whole and in lower case
    "params": COUNT + rf"(?:(?:{EMBEDDINGS}|activ(?:e|ated)|trainable|all|weight)_)*(?:params?|parameters?)"
    rf"(?:_(?:count|total|num|size|active|{EMBEDDINGS}))?",
    "tokens": COUNT
    + r"(?:(?:train(?:ing|ed)?|pretrain(?:ing)?|processed|consumed|seen|data|total|input|num)_)*"
    r"(?:tokens?|toks)(?:_(?:count|total|num|seen|trained|consumed|processed|so_far))?"
    r"|(?:data|dataset|training_set)_size|d_tokens",
    "flops": COUNT + r"(?:train(?:ing)?_|pretrain(?:ing)?_|compute_|achieved_|total_)*"
    r"(?:flops?|flos?|compute)(?:_(?:count|total|num|used|in_flops?))?",
    "budget": r"(?:(?:target|nominal|isoflops?|compute|training|train|flops?|c)_)*"
    r"(?:budget|isoflops?)(?:_(?:flops?|compute|group|level))?|(?:target|nominal)_flops?",
}
LOSSES = {"loss", "nll", "xent", "ce"}
HELD_OUT = set("val valid validation eval evaluation test heldout held out dev".split())
USUAL = HELD_OUT | set(  # beside a loss, words that leave it that
    "final mean avg average best lm ema smoothed last ce cross entropy token per nats bits".split()
)
NOT_A_LOSS = set(
    "se sd std stderr sem low high lower upper min max ci opt var delta diff gap ratio scale "
    "weight fn function type kind name aux z router balance balancing lb load excess reducible "
    "irreducible regularization reg kl predicted pred fit fitted target budget step epoch".split()
)
# a loss means something else when one of these differs; the recipe only may
TEXT = (
    "corpus dataset dataset_name data data_sha256 data_mix train_set train_data eval_set val_set test_set "
    "subset split tokenizer tokenizer_name vocab_size vocab n_vocab loss_kind"
).split()
OF_ANYTHING = {"dataset", "corpus", "tokenizer"}  # upstream_dataset is a dataset
OF_ROLES = {alias.lower() for aliases in ALIASES.values() for alias in aliases} | {"param", "token"}
CONTEXT = (
    "seq_len sequence_length seq_length context_length ctx_len ctx n_ctx context_window context block_size "
    "max_seq_len max_seq_length max_length max_position_embeddings"
).split()
RECIPE = (
    "experiment schedule lr_schedule lr_scheduler lr_scheduler_type scheduler optimizer optim "
    "parameterization norm position activation tied dtype kind architecture arch arch_type model_type "
    "model_family family n_experts num_experts experts top_k weight_bits bits precision "
    "quantization dropout warmup_fraction warmup_ratio"
).split()
TUNED = (
    "learning_rate lr peak_lr max_lr base_lr lr_max peak_learning_rate max_learning_rate weight_decay wd "
    "batch_tokens batch_size global_batch_size train_batch_size per_device_train_batch_size bsz bs batch lrs"
).split()
NO_SETTING = set(  # a word of these in a header: a measure, a date, a label; no setting of a run
    "loss losses nll se std sd stderr error errors metric metrics grad seed seeds rep repeat replicate "
    "replica index row time timestamp date datetime created started ended start end finished duration "
    "seconds secs hours minutes wall wallclock runtime elapsed throughput device devices host hostname "
    "gpu gpus node nodes worker user author commit git sha sha256 hash path file uri url dir link note "
    "notes comment comments tag tags status state name id step steps epoch iter iteration "
    "updates tokens params parameters flops flos compute budget outlier flag excluded held memory norm "
    "percent rank predicted".split()
)
WHEN = set(  # a word of these in a header: when and where a run ran, and how fast
    "time timestamp date datetime created started ended finished duration seconds secs hours minutes wall "
    "wallclock runtime elapsed throughput device devices host hostname".split()
)
BATCHES = ("batch_tokens", "global_batch_size", "train_batch_size", "batch_size", "bsz", "batch")
RATES = ("learning_rate", "lr")
ALL_RATES = (*RATES, "peak_lr", "max_lr", "base_lr", "lr_max", "peak_learning_rate", "max_learning_rate")
SCHEDULES = ("schedule", "lr_schedule", "lr_scheduler", "lr_scheduler_type", "scheduler")
HORIZONS = ("horizon_steps", "horizon_tokens", "horizon", "decay_steps", "lr_decay_steps", "lr_decay_iters")
RUN_IDS = ("run_id", "run", "run_name", "curve_id", "trial_id", "run_uuid", "uuid", "job_id", "id")
RATIOS = (  # of tokens to params
    "tokens_per_param tokens_per_parameter tokens_per_params tokens_per_parameters tpp d_n d_over_n "
    "tokens_param token_param_ratio tokens_params_ratio token_to_param_ratio tokens_to_params_ratio"
).split()
BATCH_TOKENS = "batch_tokens tokens_per_step tokens_per_batch tokens_per_update batch_size_tokens".split()
STEPS = ("step", "steps", "global_step", "trainer/global_step", "iteration", "iter", "update", "updates")
EPOCHS = ("epoch", "epochs")
SIZED = "gpt-124M_2.5Btok or N=1.24e8,D=2.5e9"  # names that state params and tokens
ENDING = re.compile(r"(\.(csv|tsv|txt|md|jsonl?|ndjson|parquet|gz))+$", re.I)  # of a file, for its format
EXPERIMENTS = (  # of one run, or of many
    "experiment_name exp_name experiment exp_id experiment_id experiment_key job_name trial_name task_id hash"
).split()
SEEDS = ("seed", "data_seed", "replicate", "repeat", "rep")
WIDTHS = ("d_model", "width", "hidden_dim", "hidden_size", "n_embd", "d_hidden", "embed_dim")
DEPTHS = ("n_layers", "n_layer", "num_layers", "depth", "layers", "num_hidden_layers")
HEADS = ("n_head", "n_heads", "num_heads", "heads", "num_attention_heads")
NAMES = ("model", "model_name", "name", "size", "run", "run_name", "config", "model_id", "run_id")
NEVER_NUMBERS = {"run_id", "run", "experiment", "status", "corpus", "commit", "sha256", "device"}
JOINED = re.compile(  # GFLOPs, total_mparams, zettaFLOPs, exa_flops
    r"(.*?)(?:([kmgbtpez])|(kilo|mega|giga|tera|peta|exa|zetta|yotta)[ _-]?)"
    r"(params|parameters|tokens|flops?)",
    re.I,
)
TAILS = (  # tokens_B, params millions, tokens in B; params/1e6
    re.compile(r"(.+?)(?:\s*,\s*|[ _]in[ _]|[ _]+)([kmbt]|[a-z]{2,}s?)", re.I),
    re.compile(r"(.+?)\s*(?:/|[x×])\s*(1e\d+|10\^\d+)", re.I),
)


NAMESPACE = re.compile(  # what trackers and tuners write before the names of their users
    r"(?<![A-Za-z0-9])(?:(?:config|configs|cfg|summary|metrics?|params|parameters|hparams|hyperparameters|args|user_attrs|"
    r"system_attrs|attributes|results|tags|history)(?:[/.]|(?<=_attrs)_))+(?!(?<=params/)tokens?$)",
    re.I,
)


@dataclass(frozen=True)
class Header:
    """A header read apart: `bare` is it without its unit and what it says in brackets that is none,
    `further`; `words` are both in lower case with one underscore between words and no `NAMESPACE`, `last` the
    words after its path (`eval/loss` -> `loss`)."""

    bare: str
    factor: float = 1.0
    unit: str = ""
    further: str = ""

    @cached_property
    def words(self) -> str:
        return normalize(f"{self.further} {NAMESPACE.sub('', self.bare)}")

    @cached_property
    def last(self) -> str:
        return normalize(without_path(self.bare))


@cache
def parse(name: str) -> Header:
    """A header such as params (M), tokens_B, total_gflops, Compute (PF-days) or loss (train)."""
    text = " ".join(units.spelled_powers(name).split())
    bracket = re.fullmatch(r"(.*?)\s*[(\[{]\s*([^)\]}]*?)\s*[)\]}]\s*", text)
    if bracket and bracket[1]:
        return bracketed(parse(bracket[1]), bracket[2])
    if days := units.DAYS.search(text):
        return Header(text[: days.start()].rstrip("_- ") or "flops", units.PETAFLOP_DAY, days[0])
    if (joined := JOINED.fullmatch(text)) and not joined[1][-1:].isalnum():
        size = joined[2] or joined[3]
        return Header(joined[1] + joined[4], units.MULTIPLES[size.lower()], size)
    for pattern in TAILS:
        tail = pattern.fullmatch(text)
        if tail and len(tail[1]) > 1 and (size := units.multiple(tail[2])):
            return Header(tail[1], size, tail[2])
    return Header(text)


def bracketed(header: Header, text: str) -> Header:
    """A header before brackets, and what they say, parted by commas: a multiple, a unit of losses, or more of
    its name, as in params (M, non-embedding)."""
    factor, unit, further = header.factor, header.unit, [header.further] * bool(header.further)
    for part in re.split(r"\s*[,;]\s*", text):
        size = units.multiple(part)
        if size and factor == 1:
            factor, unit = size, part
        elif units.is_of_losses(part):
            unit = part
        elif part:
            further.append(part)
    return Header(header.bare, factor, unit, " ".join(further))


@cache
def without_path(name: str) -> str:
    """eval/loss -> loss; but tokens/param is a ratio and stays whole."""
    name = NAMESPACE.sub("", name)
    name = re.sub(r"[/.](?:value|values)$", "", name)
    parts = [part for part in re.split(r"[/.]", name) if part]
    if len(parts) < 2 or normalize(parts[-1]) in {"param", "token", "step", "s", "sec"}:
        return name
    return name if any(normalize(part) in OF_ROLES for part in parts[:-1]) else parts[-1]


@cache
def normalize(name: str) -> str:
    """A header in lower case with one underscore between words: # Params, nParams -> n_params."""
    text = re.sub(r"^#\s*", "n_", name.strip())
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", text)
    return re.sub(r"[\W_]+", "_", text.lower()).strip("_")


def find_all(names: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """The columns whose header is one of `wanted`, or ends its path in one, in the order of those; also
    as a tuner writes its own (params_lr)."""
    by_words: dict[str, list[str]] = {}
    for name in names:
        for each in known_as(name):
            by_words.setdefault(each, []).append(name)
    return list(dict.fromkeys(name for words in wanted for name in by_words.get(words, ())))


@cache
def known_as(name: str) -> frozenset[str]:
    """The words by which a column is found."""
    words = {normalize(NAMESPACE.sub("", name)), normalize(without_path(name))}
    words |= {word.removeprefix("params_") for word in words}
    return frozenset(words | {last for word in words if (last := word.rpartition("_")[2]) in OF_ANYTHING})


def find(names: Iterable[str], wanted: Iterable[str]) -> str | None:
    """The first column of `find_all`."""
    return next(iter(find_all(names, wanted)), None)
