"""Measurements of the running system, by hand: how fast it is and how stable its labels are."""
