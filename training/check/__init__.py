"""Whether explained rows can be learned from: every row a verdict, every reason counted."""
