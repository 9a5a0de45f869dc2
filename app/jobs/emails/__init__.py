"""E-mail as jobs: templates, and the paths under which other systems send e-mail."""
