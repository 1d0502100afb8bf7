"""Tuning by the same rule for every arm: grids of rates, and the choice among them."""
