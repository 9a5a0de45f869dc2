"""The algorithms that models are trained with: what they are called, can do, and may be told."""
