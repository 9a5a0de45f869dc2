"""Drift: how the inputs of a prediction job differ from those on which its model was trained."""
