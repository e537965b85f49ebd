"""The rivals: other kinds of models, measured on the same rows by the same report."""
