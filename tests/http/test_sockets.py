"""HTTP as other clients write it: byte by byte, pipelined, chunked, old, half finished, and no HTTP at all."""
import http.client
import json
import os
import re
import resource
import socket
import time

import pytest

from conftest import PATIENCE, wait_until

BODY = json.dumps({"prompt": "Once", "max_tokens": 3, "temperature": 0, "ignore_eos": True}).encode()


def post(body=BODY, version="1.1", extra=b""):
    return (f"POST /v1/completions HTTP/{version}\r\nHost: quern\r\nContent-Length: {len(body)}\r\n".encode() + extra +
            b"\r\n" + body)


def talk(server, *pieces):
    """Sends the pieces one after the other and reads until the server closes the connection."""
    with socket.create_connection((server.host, server.port), timeout=PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        answer = b""
        while received := connection.recv(65536):
            answer += received
    return answer


CLOSE = b"Connection: close\r\n"


def test_pipelined_requests_are_answered_in_order(demo):
    health = b"GET /health HTTP/1.1\r\nHost: quern\r\n\r\n"
    answer = talk(demo, health + post() + b"GET /nothing HTTP/1.1\r\nHost: quern\r\n\r\n" + post(extra=CLOSE))
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"200", b"200", b"404", b"200"], answer
    assert answer.count(b'"text_completion"') == 2, answer


def test_a_request_may_come_byte_by_byte(demo):
    request = post(extra=CLOSE)
    answer = talk(demo, *(request[i:i + 1] for i in range(len(request))))
    assert answer.startswith(b"HTTP/1.1 200") and b'"text_completion"' in answer, answer


def test_an_upload_may_be_chunked(demo):
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(BODY[i:i + 7]), BODY[i:i + 7]) for i in range(0, len(BODY), 7))
    head = b"POST /v1/completions HTTP/1.1\r\nHost: quern\r\nTransfer-Encoding: chunked\r\n" + CLOSE + b"\r\n"
    answer = talk(demo, head + chunks + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200") and b'"text_completion"' in answer, answer


@pytest.mark.parametrize("stream", [False, True])
def test_http_1_0_gets_an_answer_that_ends_with_the_connection(demo, stream):
    body = json.dumps({**json.loads(BODY), "stream": stream}).encode()
    answer = talk(demo, post(body, "1.0"))
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head.splitlines()[0] and b"chunked" not in head.lower(), head
    assert rest.endswith(b"data: [DONE]\n\n") if stream else json.loads(rest)["usage"], rest


def test_a_client_that_expects_100_continue_gets_it(demo):
    with socket.create_connection((demo.host, demo.port), timeout=PATIENCE) as connection:
        head, _, body = post(extra=b"Expect: 100-continue\r\n" + CLOSE).partition(b"\r\n\r\n")
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        assert b" 200 " in connection.recv(4096).splitlines()[0]


@pytest.mark.parametrize("bytes_sent", [
    b"",
    b"POST /v1/comp",
    post()[:-5],
    b"\0" * 1000,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS hello
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /%00%ff%zz HTTP/1.1\r\nHost: quern\r\n\r\n",
    b"A" * 100_000,
    b"GET /health HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    b"POST /v1/completions HTTP/1.1\r\nHost: q\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
    b"POST /v1/completions HTTP/1.1\r\nHost: q\r\nContent-Length: -1\r\n\r\n{}",
    b"POST /v1/completions HTTP/1.1\r\nHost: q\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
], ids=lambda sent: repr(sent[:30]))
def test_a_client_that_leaves_half_way_or_talks_garbage_harms_nobody(demo, bytes_sent):
    with socket.create_connection((demo.host, demo.port), timeout=PATIENCE) as connection:
        try:
            connection.sendall(bytes_sent)
        except OSError:
            pass  # The server may hang up in the middle.
    assert demo.request("GET", "/health")[0] == 200
    demo.wait_idle()


@pytest.mark.parametrize("pieces", [
    [b"POST /v1/comp"],
    [post()[:40]],
    [post()[:-5]],
    [post()[:-15], post()[-15:-5]],
], ids=["amid the first line", "amid the headers", "amid the body", "amid a body of two segments"])
def test_a_client_that_leaves_half_way_is_noticed_at_once(start_server, pieces):
    server = start_server("--idle-timeout", 3600)
    descriptors = f"/proc/{server.process.pid}/fd"
    before = len(os.listdir(descriptors))
    for _ in range(8):
        with socket.create_connection((server.host, server.port), timeout=PATIENCE) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                connection.sendall(piece)
    server.health()  # The others were accepted before.
    wait_until(lambda: len(os.listdir(descriptors)) <= before, "their connections to be closed")
    if b"\r\n\r\n" in b"".join(pieces):
        assert server.stderr_text().count("/v1/completions") == 8


def trickle(server, beginning, is_over):
    """Sends it, then further bytes, at most 100 a second, until that is so or the server hangs up. What it has answered."""
    with socket.create_connection((server.host, server.port), timeout=PATIENCE) as connection:
        connection.sendall(beginning)
        connection.setblocking(False)
        answer = b""

        def has_ended():
            nonlocal answer
            try:
                connection.sendall(b" ")
                received = connection.recv(65536)
                answer += received
                return not received or is_over()
            except BlockingIOError:
                return is_over()
            except OSError:
                return True

        wait_until(has_ended, "the server to give up")
        return answer


def test_headers_that_come_byte_by_byte_have_an_end(start_server):
    server = start_server("--idle-timeout", 1)
    assert trickle(server, b"GET /health HTTP/1.1\r\na:", lambda: False) == b""
    assert server.request("GET", "/health")[0] == 200


@pytest.mark.parametrize("framing, beginning", [
    (b"Content-Length: 1000000", b"{"), (b"Transfer-Encoding: chunked", b"f4240\r\n{"),
    (b"Transfer-Encoding: chunked", b"1;")], ids=["by length", "a chunk", "an extension of a chunk"])
def test_a_body_that_comes_byte_by_byte_has_an_end(start_server, framing, beginning):
    server = start_server("--idle-timeout", 1)
    assert trickle(server, b"POST /tokenize HTTP/1.1\r\nHost: q\r\n" + framing + b"\r\n\r\n" + beginning,
                   lambda: False) == b""
    counted = 'quern_http_requests_total{route="/tokenize",status="408"} 1\n'
    wait_until(lambda: counted in server.request("GET", "/metrics")[2], "it to be counted")
    assert "POST /tokenize 408 " in server.stderr_text()


def test_a_body_that_comes_slowly_is_waited_for(start_server):
    """What is there already buys time."""
    server = start_server("--idle-timeout", 1)
    enough = time.monotonic() + 3
    trickle(server, b"POST /tokenize HTTP/1.1\r\nHost: q\r\nContent-Length: 1000000\r\n\r\n" + b" " * 100_000,
            lambda: time.monotonic() > enough)
    assert "POST /tokenize 408 " not in server.stderr_text()


def test_a_client_that_has_said_all_gets_every_answer(demo):
    """It closes its sending half behind several requests: they are answered, and then the connection ends."""
    nothing = b"GET /nothing HTTP/1.1\r\nHost: quern\r\n\r\n"
    with socket.create_connection((demo.host, demo.port), timeout=PATIENCE) as connection:
        connection.sendall(nothing * 1000)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while received := connection.recv(65536):
            answer += received
    assert answer.count(b"HTTP/1.1 404") == 1000


def test_long_requests_of_clients_that_are_gone_are_not_computed(start_server):
    """As long as they wait for a thread: forty of them cost far less than twenty do."""
    server = start_server()

    def processor_seconds():
        return float(re.search(r"(?m)^process_cpu_seconds_total (\S+)", server.request("GET", "/metrics")[2]).group(1))

    def tokenize():
        assert server.request("POST", "/tokenize", body)[0] == 200

    body = json.dumps({"content": "word " * 300_000}).encode()
    tokenize()  # The first one finds the memory.
    began = processor_seconds()
    tokenize()
    once = processor_seconds() - began
    began = processor_seconds()
    for _ in range(40):
        with socket.create_connection((server.host, server.port), timeout=PATIENCE) as connection:
            connection.sendall(b"POST /tokenize HTTP/1.1\r\nHost: q\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    tokenize()  # behind those before it
    assert processor_seconds() - began < 20 * once


def test_clients_wait_while_no_descriptor_is_left(start_server):
    server = start_server()
    first = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)
    first.connect()
    server.health()
    limit = len(os.listdir(f"/proc/{server.process.pid}/fd")) + 3
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
    others = [socket.create_connection((server.host, server.port), timeout=PATIENCE) for _ in range(10)]
    said = "further clients have to wait: Too many open files"
    wait_until(lambda: said in server.stderr_text(), "a warning")
    first.request("GET", "/metrics")
    metrics = first.getresponse().read().decode()
    assert "quern_sessions_running" in metrics and "process_resident_memory_bytes" not in metrics
    for connection in others:
        connection.close()
    assert server.request("GET", "/health")[0] == 200
    first.close()
    assert server.stderr_text().count(said) == 1


def test_a_line_without_an_end_keeps_nobody_waiting(demo):
    """libmicrohttpd has no room to read on, and does not give up either."""
    head = b"POST /v1/completions HTTP/1.1\r\nHost: q\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection((demo.host, demo.port), timeout=PATIENCE) as connection:
        connection.sendall(head + b"1;" + b"a" * 200_000)
        assert demo.complete(**json.loads(BODY))["choices"]
    demo.wait_idle()


@pytest.mark.parametrize("headers", [
    b"Content-Length: 5\r\nContent-Length: 50\r\n",
    b"Content-Length: 50\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    b"Transfer-Encoding: xchunked\r\n",
], ids=repr)
def test_a_body_whose_end_is_not_clear_is_refused_and_what_follows_is_no_request(demo, headers):
    answer = talk(demo, b"POST /tokenize HTTP/1.1\r\nHost: q\r\n" + headers +
                  b"\r\n0\r\n\r\nGET /health HTTP/1.1\r\nHost: q\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400") and b"where the body ends" in answer, answer
    assert answer.count(b"HTTP/1.1") == 1, answer


@pytest.mark.parametrize("target, status", [
    (b"http://quern:80/health?x=1", 200), (b"HTTP://quern/%68ealth", 200), (b"http://quern", 200), (b"/health%00", 404),
    (b"/health%00/../models", 404), (b"*", 404), (b"//health", 404)])
def test_a_target_is_a_path_or_an_address(demo, target, status):
    answer = talk(demo, b"GET " + target + b" HTTP/1.1\r\nHost: quern\r\n" + CLOSE + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 %d" % status), answer


def test_a_client_may_close_its_sending_half(demo):
    with socket.create_connection((demo.host, demo.port), timeout=PATIENCE) as connection:
        connection.sendall(b"POST /tokenize HTTP/1.1\r\nHost: q\r\nContent-Length: 2\r\n" + CLOSE + b"\r\n{}")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(4096).startswith(b"HTTP/1.1 400")


def test_a_sane_request_id_comes_back_and_a_strange_one_does_not(demo):
    assert demo.request("GET", "/health", headers={"X-Request-Id": "abc-1"})[1]["X-Request-Id"] == "abc-1"
    assert " " not in demo.request("GET", "/health", headers={"X-Request-Id": "a b\t<x>"})[1]["X-Request-Id"]


def test_the_hash_of_a_prompt_is_told_and_one_that_was_given_comes_back(demo):
    def told(prompt, headers=None, **parameters):
        body = {"prompt": prompt, "max_tokens": 1, **parameters}
        status, answer, text = demo.request("POST", "/v1/completions", body, headers)
        assert status == 200, text
        return answer["X-Prefix-Hash"]

    assert re.fullmatch("[0-9a-f]{16}", told("Once")) and told("Once") == told("Once", stream=True) != told("Twice")
    assert told("Once", {"X-Prefix-Hash": "-123:a"}) == "-123:a"
    assert told("Once", {"X-Prefix-Hash": "a b"}) == told("Once")


def test_a_stream_that_waits_has_comments(start_server):
    """A hundred replies come first, one at a time."""
    server = start_server("--max-sessions", 1, "--stream-ping", 1)
    ask = {"prompt": "Once", "max_tokens": 900, "ignore_eos": True}
    with socket.create_connection((server.host, server.port), timeout=PATIENCE) as first:
        first.sendall(post(json.dumps({**ask, "n": 100}).encode()))
        wait_until(lambda: server.health()["waiting"] > 90, "the first request")
        with socket.create_connection((server.host, server.port), timeout=PATIENCE) as waiting:
            waiting.sendall(post(json.dumps({**ask, "stream": True}).encode()))
            received = b""
            while received.count(b": ping\n\n") < 2:
                received += waiting.recv(4096)
    assert received.startswith(b"HTTP/1.1 200") and b"data: " not in received
    server.wait_idle()


def test_a_connection_goes_on_after_a_stream(demo):
    stream = post(json.dumps({**json.loads(BODY), "stream": True}).encode())
    answer = talk(demo, stream + stream + post(extra=CLOSE))
    assert answer.count(b"HTTP/1.1 200") == 3 and answer.count(b"data: [DONE]") == 2, answer


def test_a_client_may_ask_for_the_connection_to_close(demo):
    answer = talk(demo, post(json.dumps({**json.loads(BODY), "stream": True}).encode(), extra=CLOSE))
    assert re.search(rb"Connection: close", answer, re.IGNORECASE) and b"data: [DONE]" in answer, answer


@pytest.mark.parametrize("content_type", [b"", b"text/plain", b"application/json; charset=utf-8",
                                          b"application/x-www-form-urlencoded", b"nonsense"])
def test_the_content_type_does_not_matter(demo, content_type):
    header = b"Content-Type: " + content_type + b"\r\n" if content_type else b""
    assert talk(demo, post(extra=header + CLOSE)).startswith(b"HTTP/1.1 200")


def test_a_compressed_body_is_refused_with_the_reason(demo):
    answer = talk(demo, post(b"\x1f\x8b\x08\x00", extra=b"Content-Encoding: gzip\r\n" + CLOSE))
    assert answer.startswith(b"HTTP/1.1 415") and b"gzip" in answer, answer
    assert talk(demo, post(extra=b"Content-Encoding: identity\r\n" + CLOSE)).startswith(b"HTTP/1.1 200")


def test_options_tells_the_methods(demo):
    answer = talk(demo, b"OPTIONS /v1/completions HTTP/1.1\r\nHost: quern\r\n" + CLOSE + b"\r\n")
    assert re.match(rb"HTTP/1\.1 (204|405) ", answer) and re.search(rb"Allow: .*POST", answer), answer
