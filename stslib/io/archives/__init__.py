"""The two archives of recordings, their HTTP, and the fetched cells: two sweeps a cell, every cell accounted for."""
