"""The command lines: what a person types at `python -m lab`, and what they see."""
