"""Which runs to make: grids, and the trunks that runs of several lengths share."""
