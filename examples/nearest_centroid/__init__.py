"""An algorithm as a plugin: a nearest-centroid classifier, refined epoch by epoch. See `README.md`."""
