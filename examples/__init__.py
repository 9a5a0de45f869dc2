"""Plugins to learn from; each is a package that the setting PLUGINS can name."""
