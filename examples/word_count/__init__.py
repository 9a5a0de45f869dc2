"""A kind of job of one's own, in two small files; `README.md` says how it is done."""
