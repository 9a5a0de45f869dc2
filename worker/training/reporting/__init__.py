"""The report of a training: curves, importance and scores of the rows that chose nothing."""
