"""GET /openapi.json says what is served: its parameters are held against the server, real answers against its schemas."""
import json
import os
import re
import subprocess

import jsonschema
import pytest

from conftest import BINARY

DOCUMENTATION = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "http-api.md")
MESSAGES = [{"role": "user", "content": "Once"}]
BODIES = {  # what each endpoint is satisfied with
    "/v1/completions": {"prompt": "Once", "max_tokens": 1},
    "/v1/chat/completions": {"messages": MESSAGES, "max_tokens": 1},
    "/v1/responses": {"input": "Once", "max_output_tokens": 1},
    "/v1/responses/input_tokens": {"input": "Once"},
    "/apply-template": {"messages": MESSAGES},
    "/v1/messages": {"messages": MESSAGES, "max_tokens": 1},
    "/v1/messages/count_tokens": {"messages": MESSAGES},
    "/tokenize": {"content": "Once"},
    "/detokenize": {"tokens": [5, 6]},
}
VARIANTS = [  # answers of other forms
    ("/v1/completions", {"prompt": "Once", "max_tokens": 3, "logprobs": 2, "echo": True, "n": 2}),
    ("/v1/completions", {"prompt": "Once", "max_tokens": 3, "return_tokens": True, "timings_per_token": True}),
    ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 3, "logprobs": True, "top_logprobs": 2, "n": 2,
                              "return_tokens": True, "timings_per_token": True}),
    ("/v1/responses", {"input": "Once", "include": ["message.output_text.logprobs"], "top_logprobs": 2,
                       "return_tokens": True, "timings_per_token": True}),
    ("/v1/messages", {"messages": MESSAGES, "max_tokens": 3, "return_tokens": True, "timings_per_token": True}),
    ("/tokenize", {"content": "Once 世", "with_pieces": True}),
    ("/detokenize", {"tokens": []}),
]


@pytest.fixture(scope="session")
def description(demo):
    status, _, answer = demo.request("GET", "/openapi.json")
    assert status == 200
    return answer


def validate(description, name, answer):
    schema = {"$ref": f"#/components/schemas/{name}", "components": description["components"]}
    jsonschema.validate(answer, schema, jsonschema.Draft202012Validator)


def operations(description):
    return [(method.upper(), path, operation) for path, item in description["paths"].items()
            for method, operation in item.items()]


def body_schema(description, path):
    return description["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]


def answer_schema(operation):
    return operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]


def test_every_path_is_served_and_documented(demo, description):
    documentation = open(DOCUMENTATION).read()
    for method, path, operation in operations(description):
        assert re.search(rf"`{method} {re.escape(path)}`", documentation), f"{method} {path} is not documented"
        status, _, answer = demo.request(method, path.replace("{id}", "demo"), BODIES.get(path))
        assert status == 200, (method, path, answer)
        if "application/json" in operation["responses"]["200"]["content"]:
            validate(description, answer_schema(operation), answer)


@pytest.mark.parametrize("path, body", VARIANTS, ids=[json.dumps(body)[:50] for _, body in VARIANTS])
def test_answers_are_as_described(demo, description, path, body):
    status, _, answer = demo.request("POST", path, body)
    assert status == 200, answer
    validate(description, answer_schema(description["paths"][path]["post"]), answer)


@pytest.mark.parametrize("path", BODIES)
def test_every_parameter_is_documented(description, path):
    documentation = open(DOCUMENTATION).read()
    missing = [name for name in body_schema(description, path)["properties"] if f"`{name}`" not in documentation]
    assert not missing


def verdicts():
    """From docs/http-api.md: what becomes of each parameter of other servers."""
    table = open(DOCUMENTATION).read().split("## Parameters of OpenAI, llama-server and vLLM")[1].split("\n## ")[0]
    rows = [line.split("|")[1:4] for line in table.splitlines() if line.startswith("| `")]
    return {name: verdict.split()[0].strip(":,;") for names, _, verdict in rows for name in re.findall("`([^`]+)`", names)}


def test_the_table_of_parameters_says_what_the_server_does(description):
    known = {name: parameter for path in ("/v1/chat/completions", "/v1/completions")
             for name, parameter in body_schema(description, path)["properties"].items()}
    refused = {name for name, parameter in known.items() if parameter["description"].startswith("Not supported")}
    for name, verdict in verdicts().items():
        assert verdict in ("supported", "ignored", "refused"), name
        assert (name in known) == (verdict != "ignored"), name
        assert (name in refused) == (verdict == "refused"), name
    assert set(known) - set(verdicts()) == {"draft_tokens"}


def wrong_values(schema):
    """Values that the schema of one parameter does not allow."""
    if "enum" in schema:
        return ["quern"]
    types = schema.get("type", [])
    wrong = [] if "object" in types or "anyOf" in schema else [{"a": 1}]
    if "minimum" in schema and schema["minimum"] > -1e18:
        wrong += [schema["minimum"] - 1, schema["maximum"] + 1]
    return wrong + (["text"] if types and "string" not in types else [])


@pytest.mark.parametrize("path", BODIES)
def test_parameters_take_what_they_say_and_nothing_else(demo, description, path):
    schema = body_schema(description, path)
    for name, parameter in schema["properties"].items():
        assert parameter["description"], name
        for value in wrong_values(parameter):
            status, _, answer = demo.request("POST", path, {**BODIES[path], name: value})
            named = answer["error"].get("param", name)  # Anthropic's errors have none
            assert status in (400, 404) and named == name in answer["error"]["message"], (name, value, answer)
            validate(description, "Error", answer)
        allowed = parameter.get("enum", [parameter["default"]] if "default" in parameter else [])
        for value in allowed + ([] if name in schema["required"] else [None]):
            status, _, answer = demo.request("POST", path, {**BODIES[path], name: value})
            assert status == 200, (name, value, answer)


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings", "/v1/audio/speech", "/v1/images/generations",
                                  "/v1/moderations"])
def test_what_no_model_here_can_do_is_refused_with_the_reason(demo, description, path):
    status, _, answer = demo.request("POST", path, {"input": "a"})
    assert status == 400 and answer["error"]["code"] == "unsupported" and path in answer["error"]["message"], answer
    validate(description, "Error", answer)


def test_the_program_prints_the_same_without_a_daemon(demo):
    printed = subprocess.run([BINARY, "api"], capture_output=True, text=True, check=True).stdout
    assert json.loads(printed) == demo.request("GET", "/openapi.json")[2]


def test_the_man_page_has_each_path_and_each_parameter():
    described = json.loads(subprocess.run([BINARY, "api"], capture_output=True, text=True, check=True).stdout)
    page = subprocess.run([BINARY, "api", "--format", "man"], capture_output=True, text=True, check=True).stdout
    chapters = dict(re.findall(r"^\.SS (\w+ \S+)\n(.*?)(?=^\.SS |\Z)", page, re.MULTILINE | re.DOTALL))
    operations = {f"{method.upper()} {path}": operation for path, item in described["paths"].items()
                  for method, operation in item.items()}
    assert list(chapters) == list(operations)
    for name, operation in operations.items():
        content = operation.get("requestBody", {"content": {"application/json": {"schema": {}}}})["content"]
        told = chapters[name] + chapters["POST /v1/completions"].partition("Refused")[2] * (name != "POST /v1/completions")
        for parameter in content["application/json"]["schema"].get("properties", {}):
            assert re.search(rf"\b{re.escape(parameter)}\b", told), (name, parameter)
    assert "\n.B top_p\n(number, 0 to 1; default 1)\n" in chapters["POST /v1/completions"]


def test_the_man_page_has_each_kind_of_error():
    root = os.path.join(os.path.dirname(DOCUMENTATION), "..")
    with open(os.path.join(root, "server", "api_error.c")) as file:
        codes = re.findall(r'= \{(\d+), "\w+", "(\w+)"', re.sub(r"\s+", " ", file.read()))
    with open(os.path.join(root, "docs", "man", "quern-http.7.in")) as file:
        told = {(line[0], code) for line in map(str.split, re.findall(r"^\.B (\d.*)$", file.read(), re.MULTILINE))
                for code in " ".join(line[1:]).split(", ")}
    assert len(codes) > 10 and set(codes) == told - {("400", "")}
