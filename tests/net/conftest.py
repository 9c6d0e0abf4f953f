"""Settings of the property tests of this folder."""

from hypothesis import settings

# A shared machine stalls now and then; how long an example takes says nothing here.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
