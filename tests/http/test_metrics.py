"""GET /metrics, read by the parser of Prometheus' own client, and GET /ready."""
import http.client
import json
import os
import re
import signal

from prometheus_client.parser import text_string_to_metric_families

from conftest import MODELS, PATIENCE, wait_until

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def families(server):
    status, headers, text = server.request("GET", "/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found = list(text_string_to_metric_families(text))
    assert all(family.documentation and family.type != "unknown" for family in found)
    assert len({family.name for family in found}) == len(found)
    return found


def read(server):
    """Samples without labels, or of the one model."""
    return {sample.name: sample.value for family in families(server) for sample in family.samples
            if sample.labels in ({}, {"model": "demo"})}


def test_what_requests_do_is_counted(start_server):
    server = start_server()
    ask = {"prompt": "Once there was a fox. " * 10, "max_tokens": 10, "ignore_eos": True}
    tokens = server.complete(**ask)["usage"]["prompt_tokens"]
    cached = server.complete(**ask)["usage"]["prompt_tokens_details"]["cached_tokens"]
    server.wait_idle()
    found = read(server)
    assert found["quern_prompt_tokens_total"] == 2 * tokens - cached
    assert found["quern_prefix_hit_tokens_total"] == cached > 0
    assert found["quern_generated_tokens_total"] == 20
    assert found["quern_sessions_running"] == found["quern_kv_pages_used"] == found["quern_kv_utilization"] == 0
    assert 0 < found["quern_kv_pages_cached"] < found["quern_kv_pages"]
    assert found["process_resident_memory_bytes"] > 1e6 and found["process_cpu_seconds_total"] > 0


def test_histograms_hold_what_was_measured(start_server):
    server = start_server()
    for _ in range(3):
        server.complete(prompt="Once", max_tokens=10, ignore_eos=True, draft_tokens=0)
    server.wait_idle()
    counts = {}
    for family in families(server):
        if family.type != "histogram":
            continue
        buckets = [sample for sample in family.samples if sample.name.endswith("_bucket")]
        bounds = [float(sample.labels["le"]) for sample in buckets]
        values = [sample.value for sample in buckets]
        assert bounds == sorted(bounds) and bounds[-1] == float("inf") and values == sorted(values)
        by_name = {sample.name: sample.value for sample in family.samples if "le" not in sample.labels}
        assert by_name[f"{family.name}_count"] == values[-1] and by_name[f"{family.name}_sum"] >= 0
        counts[family.name] = values[-1]
    assert counts["quern_time_to_first_token_seconds"] == counts["quern_queue_seconds"] == 3
    assert counts["quern_prefill_seconds"] == counts["quern_decode_seconds"] == counts["quern_session_seconds"] == 3
    assert counts["quern_inter_token_seconds"] == 27
    steps = read(server)["quern_steps_total"]
    assert counts["quern_step_seconds"] == counts["quern_step_rows"] == counts["quern_step_sessions"] == steps
    assert read(server)["quern_step_rows_sum"] == read(server)["quern_prompt_tokens_total"] + 27


def test_answers_are_counted_by_route_and_status(start_server):
    server = start_server()
    server.complete(prompt="Once", max_tokens=1)
    for path in ("/v1/models/demo", "/v1/models/none", '/no"where\\', "/nowhere"):
        server.request("GET", path)
    server.request("POST", "/v1/completions", "{")
    for method in ("GET", "DELETE"):  # Two routes of one path are one series.
        server.request(method, "/v1/responses/resp_1")
    wait_until(lambda: server.stderr_text().count(" id=") == 8, "eight lines of the log")
    (requests,) = [family for family in families(server) if family.name == "quern_http_requests"]
    found = [((sample.labels["route"], sample.labels["status"]), sample.value) for sample in requests.samples]
    assert sorted(found) == [(("/v1/completions", "200"), 1), (("/v1/completions", "400"), 1), (("/v1/models/", "200"), 1),
                             (("/v1/models/", "404"), 1), (("/v1/responses/", "404"), 2), (("other", "404"), 2)]


def test_the_log_says_where_the_time_of_a_request_went(demo):
    demo.complete(prompt="Once", max_tokens=5, ignore_eos=True)
    pattern = r"model=demo prompt=\d+ cached=\d+ generated=5 queue_ms=[\d.]+ prefill_ms=[\d.]+ decode_ms=[\d.]+ finish=length"
    wait_until(lambda: re.search(pattern, demo.stderr_text()), "the log line")


def begin_streams(server, count):
    """One after another, so that the order is known."""
    clients = []
    begun = server.stderr_text().count("finish=")
    for _ in range(count):
        clients.append(http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE))
        clients[-1].request("POST", "/v1/completions", json.dumps(
            {"prompt": [2], "max_tokens": 250, "stream": True, "ignore_eos": True}))
        wait_until(lambda: server.health()["running"] + server.health()["waiting"] == len(clients)
                   or server.stderr_text().count("finish=") > begun, "the session")
    return clients


def test_ready_says_that_more_may_come_until_it_may_not(start_server):
    server = start_server("--max-sessions", 1, "--max-queue", 1, model=os.path.join(MODELS, "gemma3-int4"))
    assert server.request("GET", "/ready")[::2] == (200, {"status": "ready"})
    for _ in range(50):  # The first of both may be over before the server is asked.
        clients = begin_streams(server, 2)
        begun = server.stderr_text().count("finish=")
        overloaded = server.request("GET", "/ready")
        if overloaded[0] == 503:
            break
        for client in clients:
            client.getresponse().read()
    assert overloaded[::2] == (503, {"status": "overloaded"}) and overloaded[1]["Retry-After"]
    kept = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)
    kept.request("GET", "/ready")
    kept.getresponse().read()
    server.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "finishing what runs" in server.stderr_text(), "draining")
    kept.request("GET", "/ready")
    try:
        answer = kept.getresponse()
    except (http.client.RemoteDisconnected, ConnectionResetError):
        wait_until(lambda: server.stderr_text().count("finish=") > begun, "clients that were quicker than this test")
        return
    assert (answer.status, json.loads(answer.read())) == (503, {"status": "draining"})
    for client in clients:
        client.getresponse().read()
    assert server.process.wait(timeout=PATIENCE) == 0


def test_the_dashboard_asks_for_metrics_that_there_are(demo):
    demo.complete(prompt="Once", max_tokens=1)
    with open(os.path.join(ROOT, "docs", "grafana.json")) as file:
        panels = json.load(file)["panels"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    asked = {name for expression in expressions for name in re.findall(r"\b(?:quern|process)_[a-z_]+", expression)}
    names = {sample.name for family in families(demo) for sample in family.samples}
    assert len(asked) > 15 and asked <= names, asked - names
