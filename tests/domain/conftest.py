"""Properties are checked on the same examples on every machine, however slow it is."""

from hypothesis import settings

settings.register_profile("reli", derandomize=True, deadline=None, max_examples=200)
settings.load_profile("reli")
