"""People who rate explanations: what they are given, what they say, and how far they agree."""
