"""Supervised fine-tuning: a recipe and prepared examples in, weights out."""
