"""Run scikit-learn models from skops files."""
