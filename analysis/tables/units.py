"""The words of units: multiples such as M and billion, PF-days, and what a loss is measured in."""

import re

WORDS = {
    1e3: "k thousand kilo",
    1e6: "m mn mil mio million mega",
    1e9: "b g bn mrd billion giga",
    1e12: "t tn trillion tera",
    1e15: "p peta",
    1e18: "e exa",
    1e21: "z zetta",
    1e24: "y yotta",
}
MULTIPLES = {word: factor for factor, words in WORDS.items() for word in words.split()}
RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
PETAFLOP_DAY = 8.64e19  # FLOPs: 1e15 a second for 86,400 seconds
DAYS = re.compile(r"(?:p|peta)[ _-]?f(?:lops?)?(?:[ _-]?/?[ _-]?s)?[ _-]*days?", re.I)
POWER = re.compile(r"[x×*]?\s*(?:1e\+?(\d{1,2})|10\s*(?:\^|\*\*)\s*(\d{1,2}))(?:\s*flops?)?")
ERRORS = "a share of errors"
UNSTATED = "the table's own unit (it states none)"
KINDS = {  # of a measure of text, by the words of its header: its unit, where the header states none
    "bits/byte": "bpb bits_per_byte bits_byte",
    "bits/char": "bpc bits_per_char bits_per_character bits_char",
    "bits/token": "bits_per_token bits_token bpt",
    "nats/byte": "nats_per_byte",
    "nats/char": "nats_per_char nats_per_character",
    "nats/token": "nats_per_token log_perplexity log_ppl ln_perplexity ln_ppl",  # before perplexity
    "perplexity": "perplexity ppl",
    "error": "error err error_rate top1_error top_1_error top5_error wer cer",
    "rising": "accuracy acc acc1 acc5 top1 top_1 top5 top_5 pass_rate pass_at_1 win_rate success_rate "
    "solve_rate exact_match f1 f1_score bleu rouge auc auroc miou iou reward elo elo_rating psnr",
}


def multiple(unit: str) -> float | None:
    """1e6 of M, million, MFLOPs, 1e6, ×10^6; None of what is no multiple."""
    text = unit.strip().lower().replace("parameters", "").replace("params", "")
    text = text.replace("tokens", "").strip(" _-")
    if DAYS.fullmatch(text):
        return PETAFLOP_DAY
    if power := POWER.fullmatch(text):
        return 10.0 ** int(power[1] or power[2])
    text = re.sub(r"[ _-]?flops?$", "", text)
    return MULTIPLES.get(text.removesuffix("s") if len(text) > 2 else text)


def spelled_powers(text: str) -> str:
    """10¹⁸ -> 10^18."""
    return re.sub(r"10([⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+)", lambda found: "10^" + found[1].translate(RAISED), text)


def is_of_losses(text: str) -> bool:
    """Whether words name what losses or errors are measured in: nats, bits per byte, %."""
    text = text.lower()
    return bool(re.match(r"(?:bit|nat)s?(?![a-z])|%|percent", text) or kind(re.sub(r"[\W_]+", "_", text)))


def kind(words: str) -> str:
    """Which of `KINDS` a header names with its last words, held out or not; "" for none."""
    return next((kind for kind, pattern in ENDINGS.items() if pattern.search(words)), "")


def loss_unit(words: str, unit: str) -> str:
    """What a loss is measured in, of its header's words and the unit stated there; never a guess."""
    stated = kind(re.sub(r"[\W_]+", "_", unit.lower()))
    named = stated or kind(words)
    if unit.startswith(("bit", "nat")) and not stated:
        return f"{unit[:3]}s/token"
    return {"error": ERRORS, "": UNSTATED}.get(named, named)


ENDINGS = {kind: re.compile(rf"(?:^|_)(?:{'|'.join(words.split())})$") for kind, words in KINDS.items()}
