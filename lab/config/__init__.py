"""What a run is: its configs, checked once, and the run_id made from their content."""

from lab.config.model import ModelConfig
from lab.config.run import NEXT_TOKEN, DataConfig, OptimConfig, RunConfig, Shape, from_json, to_json
