"""What a step of an LSTM and of a GRU costs beside a Transformer's of the same FLOPs a token: one
worker on one core in turns, float32."""

from collections.abc import Iterator
from typing import Any

from bench import machine, rounds
from bench.options import Options
from bench.peers.ours import model_of
from bench.peers.shapes import SHAPES, Shape
from bench.rounds import Competitor

LAYERS = 2  # of a recurrent model: its width makes up for it


def matching(kind: str, shape: Shape) -> Shape:
    """The recurrent shape whose FLOPs a token are nearest to the Transformer's."""
    from lab.models import counts

    def flops(layers: int, width: int, kind: str) -> float:
        own = Shape(
            layers,
            width,
            shape.heads if kind == "transformer" else 1,
            shape.vocab,
            shape.context,
            shape.batch,
        )
        return counts.flops_exact(model_of(own, "float32", kind))

    wanted, layers = flops(shape.layers, shape.width, "transformer"), min(LAYERS, shape.layers)
    width = min(range(8, 4 * shape.width, 2), key=lambda w: abs(flops(layers, w, kind) - wanted))
    return Shape(layers, width, 1, shape.vocab, shape.context, shape.batch)


def measure(options: Options) -> Iterator[dict[str, Any]]:
    from lab.launch import processes

    core, races = tuple(machine.cores()[-1:]), []
    for name in ["tiny"] if options.quick else [shape for shape in options.shapes if shape != "L"]:
        shapes = {"transformer": SHAPES[name]}
        shapes |= {kind: matching(kind, SHAPES[name]) for kind in ("lstm", "gru")}
        racing = [
            Competitor(
                f"{kind} {shape.layers} x {shape.width}",
                "ours",
                {"shape": vars(shape), "dtype": "float32", "kind": kind},
                processes.environment(1),
                core,
            )
            for kind, shape in shapes.items()
        ]
        crew = rounds.race(racing, options.rounds, options.seconds, options.quiet)
        results = [rounds.result(running) for running in crew]
        for running, row in zip(crew, results, strict=True):
            if not running.failed and not crew[0].failed:
                row["transformer_over_it"] = rounds.ratio(crew[0], running, "per_processor_second")
        races.append({"shape": name, "results": results})
        print("\n".join(lines(races[-1])), flush=True)
        yield {"unit": "tokens a second of one worker on one core", "races": races}


def lines(race: dict[str, Any]) -> list[str]:
    return [
        f"{race['shape']} {row['name']:<20} {row['per_processor_second']:>10,.0f} tokens/s, "
        f"{row['transformer_over_it']['median']:.2f} times the Transformer's time a FLOP-equal step"
        for row in race["results"]
        if "transformer_over_it" in row
    ]
