"""What a model is compiled for: an argument, so that chips that are not here can be compiled for."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import NamedSharding, PartitionSpec

KEPT = "dot"  # what `checkpoint_name` calls that which "dots" keeps: see `keep`
POLICIES = {  # what of a block is kept for its gradient, by name; the rest is made again
    "nothing": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.save_only_these_names(KEPT),
    "everything": None,  # no checkpoint at all
}


def keep(x: jax.Array) -> jax.Array:
    """`x`, which is kept for the gradient under `remat` "dots": what no product need be made again for."""
    return checkpoint_name(x, KEPT)


@dataclass(frozen=True)
class Target:
    """Where a program will run, as far as its model takes another form there.

    Args:
      platform: "cpu", "tpu" or "gpu", as a device says it (`jax.Device.platform`).
      dtype: of the numbers that are multiplied: a config says it, `of_model` puts it here.
      remat: an entry of POLICIES; "" keeps everything on CPU, and nothing elsewhere.
      flat: as work is counted: layers one after another off CPU too, attention's square whole on it.
      mesh: the devices, where one program is split over them by the compiler; None where a program
        sees the part of one device.
    """

    platform: str
    dtype: str = "float32"
    remat: str = ""
    flat: bool = False
    mesh: Any = None

    def __post_init__(self) -> None:
        if self.platform not in ("cpu", "tpu", "gpu"):
            raise ValueError(f"platform={self.platform!r} is none of cpu, tpu, gpu")
        if self.remat and self.remat not in POLICIES:
            raise ValueError(f"remat={self.remat!r} is none of {', '.join(POLICIES)}")

    @property
    def on_cpu(self) -> bool:
        return self.platform == "cpu"

    @property
    def splits(self) -> int:
        """Parts into which the compiler splits the batch."""
        return self.mesh.shape["data"] if self.mesh is not None else 1

    def axes(self, *sizes: int | None) -> list[str | None]:
        """By which axes of the mesh an array's are split: sequences by the first, heads by the third."""
        names = ("data", None, "tensor", None)
        shape = self.mesh.shape
        return [
            name if name in shape and size is not None and size % shape[name] == 0 else None
            for name, size in zip(names, sizes, strict=True)
        ]

    def split(self, x: jax.Array, axis: int) -> jax.Array:
        """`x` with the sequences, its axis `axis`, over the devices where the compiler splits the batch."""
        if self.mesh is None or x.shape[axis] % self.splits:
            return x
        return jax.lax.with_sharding_constraint(
            x, NamedSharding(self.mesh, PartitionSpec(*[None] * axis, "data"))
        )

    def checkpoint(self, layer: Callable) -> Callable:
        """A layer of which only what `remat` says is kept for the gradient."""
        policy = POLICIES[self.remat or "everything"]
        return layer if policy is None else jax.checkpoint(layer, policy=policy)

    def of_model(self, cfg: Any) -> "Target":
        """With what the model's config says of it."""
        remat = self.remat or ("nothing" if cfg.remat or not self.on_cpu else "everything")
        return replace(self, dtype=cfg.dtype, remat=remat)


def target_of(device: jax.Device, platform: str = "", **options: Any) -> Target:
    """What is compiled for a device, which may be one of a topology's that is not here; `platform` is its
    own unless given."""
    platform = platform or device.platform
    return Target("gpu" if platform in ("cuda", "rocm") else platform, **options)


def here(dtype: str = "float32") -> Target:
    """The devices that jax takes where nobody says which."""
    return target_of(jax.local_devices()[0], dtype=dtype)
