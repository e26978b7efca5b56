"""Requests that schemathesis makes of GET /openapi.json, right and wrong ones: no server error, every answer as described."""
import os
import subprocess

import pytest

PROGRAM = os.environ.get("QUERN_SCHEMATHESIS", "")
CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
          "allow_header_conformance"]


@pytest.mark.skipif(not PROGRAM, reason="schemathesis cannot be installed here")
def test_no_request_that_the_description_allows_or_forbids_is_a_server_error(start_server, tmp_path):
    server = start_server("--kv-positions", 64)  # replies are short
    command = [PROGRAM, "run", f"{server.url}/openapi.json", "--checks", ",".join(CHECKS), "--max-examples", "5",
               "--phases", "examples,coverage,fuzzing", "--seed", "1", "--warnings", "off", "--no-shrink",
               "--request-timeout", "120"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert server.health()["status"] == "ok"
