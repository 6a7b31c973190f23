"""Models, their weights and what these imply: counts, FLOPs, initial scales, rates."""
