"""One run from its first update to its record: step, devices, packs, evaluation, checkpoints."""
