"""How long tests wait for what must come."""
import os
import time

PATIENCE = float(os.environ.get("QUERN_TEST_PATIENCE", "300"))  # seconds: sanitizer builds are slow


def wait_until(condition, what):
    """Polls, for at most PATIENCE seconds, and returns what the condition returned."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"waited {PATIENCE} s for {what}")
