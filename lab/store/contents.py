"""What a store holds, read off the config.json of its runs, without asking any experiment."""

from collections.abc import Iterable
from pathlib import Path

from lab.config import RunConfig, from_json
from lab.store.files import StoreError, read_json
from lab.store.store import Store


def learned_from(store: Store, corpora: Iterable[str]) -> bool:
    """Whether any of the store's runs learned from one of these corpora, by name. One whose
    config.json can't be read may have."""
    wanted = {*corpora}
    for path in Path(store.root).glob("*/config.json"):
        try:
            data = (read_json(path) or {}).get("data")
        except StoreError:
            return True
        if not isinstance(data, dict) or data.get("corpus") in wanted:
            return True
    return False


def find(store: Store, prefix: str) -> RunConfig:
    """The run of the store whose id begins with `prefix`.

    Raises:
      StoreError: none or several do, or its config.json can't be believed.
    """
    root = Path(store.root)
    folders = sorted(root.glob(f"{prefix}*/config.json")) if prefix.isalnum() else []
    ids = [path.parent.name for path in folders]
    if len(ids) != 1:
        some = ", ".join(ids[:4] or [path.parent.name for path in root.glob("*/config.json")][:4])
        raise StoreError(
            f"{prefix!r} names {len(ids)} runs of the store {root}; name one by its id or "
            f"its first digits, such as {some}"
            if some
            else f"the store {root} holds no runs; name another with --store"
        )
    path = folders[0]
    try:
        config = from_json(read_json(path) or {}, where=str(path))
    except ValueError as error:
        raise StoreError(
            f"{error}. Another version of the lab wrote it, or the file was changed; `lab run` of "
            "its experiment writes config.json anew where the run is not finished"
        ) from error
    if config.run_id != ids[0]:
        raise StoreError(
            f"{path} describes run {config.run_id} and not {ids[0]}: its results belong to another "
            "version of the lab, or the file was changed"
        )
    return config
