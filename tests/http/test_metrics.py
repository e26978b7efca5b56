"""GET /metrics, read by the parser of Prometheus' own client."""
from prometheus_client.parser import text_string_to_metric_families


def read(server):
    status, headers, text = server.request("GET", "/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = list(text_string_to_metric_families(text))
    assert all(family.documentation and len(family.samples) == 1 for family in families)
    return {sample.name: sample.value for family in families for sample in family.samples}


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
    assert found["quern_sessions_running"] == found["quern_kv_pages_used"] == 0
    assert 0 < found["quern_kv_pages_cached"] < found["quern_kv_pages"]
