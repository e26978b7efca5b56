"""The official Node client."""
import os
import subprocess

import pytest

CLIENTS = os.environ.get("QUERN_NODE_CLIENTS", "")  # a folder with client.mjs and its node_modules


@pytest.mark.skipif(not CLIENTS, reason="the Node client cannot be installed here")
def test_the_node_client_is_content(demo):
    run = subprocess.run(["node", "client.mjs", demo.url], cwd=CLIENTS, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    demo.wait_idle()
