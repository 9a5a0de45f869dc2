"""Example plugins, one for each extension point. Each is a package that the setting PLUGINS can name."""
