from hypothesis import HealthCheck, settings

# How fast an example is drawn or run depends on what else the machine does: speed is measured in
# tests/bench, never asserted here.
settings.register_profile(
    "correctness", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("correctness")
