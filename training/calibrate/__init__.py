"""Calibration: from a model's label reads on known posts to the numbers in its manifest."""
