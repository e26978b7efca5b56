"""JSON that is valid by its schema, whatever the model would rather say; jsonschema is the judge."""
import datetime
import ipaddress
import json
import os
import re
import uuid
from typing import Literal

import jsonschema
import openai
import pydantic
import pytest

PROMPTS = ["Once upon a time", "The capital of France is", "def main():", "{\"name\": ", "Answer: 42\n", "日本語の"]

PERSON = {"type": "object", "title": "Person", "properties": {
    "name": {"type": "string", "minLength": 1, "maxLength": 20}, "age": {"type": "integer", "minimum": 0, "maximum": 130},
    "email": {"type": "string", "format": "email"}, "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 3}},
    "required": ["name", "age"], "additionalProperties": False}
TREE = {"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {
    "value": {"type": "number"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 3}},
    "required": ["value", "children"], "additionalProperties": False}}}
SHAPES = {"type": "object", "properties": {"shape": {"oneOf": [
    {"type": "object", "properties": {"kind": {"const": "circle"}, "radius": {"type": "number", "exclusiveMinimum": 0}},
     "required": ["kind", "radius"], "additionalProperties": False},
    {"type": "object", "properties": {"kind": {"const": "box"}, "sides": {"type": "array", "minItems": 2, "maxItems": 2,
     "items": {"type": "integer", "exclusiveMinimum": 0}}}, "required": ["kind", "sides"], "additionalProperties": False}]}},
    "required": ["shape"], "additionalProperties": False}

SCHEMAS = {
    "person": PERSON,
    "tree": TREE,
    "shapes": SHAPES,
    "anything": {},
    "null": {"type": "null"},
    "boolean": {"type": "boolean"},
    "integers": {"type": "array", "items": {"type": "integer", "minimum": -12, "maximum": 1050}, "minItems": 4, "maxItems": 8},
    "above": {"type": "array", "items": {"type": "integer", "exclusiveMinimum": 99}, "minItems": 3, "maxItems": 3},
    "below": {"type": "array", "items": {"type": "integer", "exclusiveMaximum": -7}, "minItems": 3, "maxItems": 3},
    "fractions": {"type": "array", "items": {"type": "number", "minimum": -0.125, "exclusiveMaximum": 12.5}, "minItems": 4,
                  "maxItems": 6},
    "small": {"type": "number", "exclusiveMinimum": 0, "maximum": 0.001},
    "numbers": {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 6},
    "draft 4": {"type": "number", "minimum": 3, "exclusiveMinimum": True, "maximum": 4, "exclusiveMaximum": True},
    "text": {"type": "string", "maxLength": 30},
    "pattern": {"type": "string", "pattern": "^[A-Z][a-z]+( [A-Z][a-z]+)?$"},
    "search": {"type": "string", "pattern": "\\d{3}", "minLength": 5, "maxLength": 12},
    "quoting": {"type": "string", "pattern": "^[\\\\\"/\\n\u00e9\U0001F600]{3,9}$"},
    "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "format": "time"},
    "date and time": {"type": "string", "format": "date-time"},
    "uuid": {"type": "string", "format": "uuid"},
    "address": {"type": "array", "items": {"type": "string", "format": "ipv4"}, "minItems": 2, "maxItems": 2},
    "address 6": {"type": "string", "format": "ipv6"},
    "link": {"type": "string", "format": "uri"},
    "enum": {"enum": ["red", "green", 3, 4.5, None, True, {"a": [1, {"b": "\"\\"}]}]},
    "enum of type": {"type": "string", "enum": ["one", "two", 3]},
    "const": {"const": {"version": 1}},
    "pair": {"type": "array", "prefixItems": [{"type": "string", "maxLength": 5}, {"type": "integer"}], "items": False,
             "minItems": 2},
    "list of pairs": {"type": "array", "prefixItems": [{"const": "head"}], "items": {"type": "array", "prefixItems": [
        {"enum": ["x", "y"]}, {"type": "boolean"}], "items": False, "minItems": 2}, "minItems": 2, "maxItems": 5},
    "several types": {"type": ["string", "null", "integer"], "maxLength": 10},
    "any of": {"anyOf": [{"type": "integer", "maximum": -1}, {"type": "string", "maxLength": 4}, {"type": "null"}]},
    "all of": {"allOf": [{"type": "object", "properties": {"a": {"type": "integer", "minimum": 5}}, "required": ["a"]},
                         {"properties": {"a": {"maximum": 9}, "b": {"type": "boolean"}}, "required": ["b"]}]},
    "optional": {"type": "object", "properties": {name: {"type": "integer", "minimum": 0, "maximum": 9} for name in "abcdef"},
                 "required": ["d"]},
    "map": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1, "maximum": 5}, "maxProperties": 3,
            "minProperties": 1},
    "open": {"type": "object", "properties": {"id": {"type": "string", "maxLength": 3}, "idea": {"type": "null"}},
             "required": ["id"], "additionalProperties": {"type": "boolean"}, "maxProperties": 5},
    "keys": {"type": "object", "properties": {"a\"b": {"const": 1}, "\u00e4\n": {"const": 2}, "": {"const": 3}},
             "required": ["a\"b", "\u00e4\n", ""]},
    "definitions": {"type": "object", "properties": {"a/b": {"type": "integer", "minimum": 1, "maximum": 4},
                    "c": {"$ref": "#/properties/a~1b"}, "d": {"$ref": "#/definitions/e%20f"}}, "required": ["c", "d"],
                    "definitions": {"e f": {"type": "boolean"}}, "additionalProperties": False},
    "list": {"$defs": {"list": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {
        "head": {"type": "boolean"}, "tail": {"$ref": "#/$defs/list"}}, "required": ["head", "tail"]}]}},
        "$ref": "#/$defs/list"},
    "multiples": {"type": "array", "minItems": 5, "maxItems": 5, "prefixItems": [
        {"type": "integer", "multipleOf": 12, "minimum": -100, "maximum": 100}, {"type": "number", "multipleOf": 37},
        {"allOf": [{"multipleOf": 4}, {"multipleOf": 6}], "type": "integer", "minimum": 0},
        {"enum": [1, 10, 2.5, 15], "multipleOf": 5}, {"type": "string", "format": "duration"}]},
    "implied": {"properties": {"x": {"minimum": 3, "maximum": 5}}, "required": ["x"]},
    "annotated": {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.org/a", "title": "T",
                  "description": "D", "default": 3, "examples": [1], "deprecated": True, "x-order": 1, "type": "integer",
                  "minimum": 1, "maximum": 3, "uniqueItems": False},
}


def check_format(value, schema):
    """What jsonschema leaves to other packages."""
    checks = {"date": datetime.date.fromisoformat, "time": datetime.time.fromisoformat, "uuid": uuid.UUID,
              "date-time": datetime.datetime.fromisoformat, "ipv6": ipaddress.IPv6Address}
    if isinstance(schema, dict) and schema.get("format") in checks:
        checks[schema["format"]](value.replace("Z", "+00:00"))


def check(text, schema):
    value = json.loads(text)
    if schema.get("exclusiveMinimum") is True:
        jsonschema.Draft4Validator(schema).validate(value)
    else:
        validator = jsonschema.Draft202012Validator
        validator.check_schema(schema)
        validator(schema, format_checker=validator.FORMAT_CHECKER).validate(value)
    check_format(value, schema)
    return value


def response_format(schema):
    return {"type": "json_schema", "json_schema": {"name": "it", "strict": True, "schema": schema}}


@pytest.mark.parametrize("name", SCHEMAS)
def test_replies_are_valid(demo, tiny, name):
    schema = SCHEMAS[name]
    for server, temperature in ((demo, 1), (demo, 2), (tiny, 1)):
        answer = server.complete(prompt=PROMPTS, max_tokens=200, temperature=temperature, seed=7,
                                 response_format=response_format(schema))
        for choice in answer["choices"]:
            check(choice["text"], schema)


def test_many_at_once_with_different_schemas(demo):
    """Each schema by itself says what it says among others."""
    from concurrent.futures import ThreadPoolExecutor
    asks = [dict(prompt=PROMPTS[i % 3], max_tokens=100, seed=i, json_schema=schema)
            for i, schema in enumerate(SCHEMAS.values())]
    alone = [demo.complete(**ask)["choices"][0]["text"] for ask in asks]
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda ask: demo.complete(**ask)["choices"][0]["text"], asks))
    assert together == alone


def test_every_way_to_ask(demo):
    schema = {"type": "integer", "minimum": 10, "maximum": 99}
    ask = dict(prompt=PROMPTS[0], seed=1)
    texts = {demo.complete(**ask, **parameters)["choices"][0]["text"] for parameters in (
        {"response_format": response_format(schema)}, {"response_format": {"type": "json_object", "schema": schema}},
        {"json_schema": schema}, {"guided_json": schema}, {"guided_json": json.dumps(schema)},
        {"structured_outputs": {"json": schema}}, {"structured_outputs": {"json": json.dumps(schema)}})}
    assert len(texts) == 1 and 10 <= int(texts.pop()) <= 99


class Part(pydantic.BaseModel):
    kind: Literal["wheel", "door"]
    weight: float = pydantic.Field(ge=0, le=10)


class Car(pydantic.BaseModel):
    """As the official client's users have it."""
    doors: int = pydantic.Field(ge=2, le=5)
    used: bool | None
    spare: Part | None
    colours: list[Literal["red", "blue"]] = pydantic.Field(max_length=3)


def test_the_official_client_parses_models_of_pydantic(demo):
    client = openai.OpenAI(base_url=f"{demo.url}/v1", api_key="none", max_retries=0)
    messages = [{"role": "user", "content": "Describe a car."}]
    for seed in range(5):
        reply = client.chat.completions.parse(model="demo", messages=messages, response_format=Car, seed=seed, max_tokens=300)
        assert reply.choices[0].finish_reason == "stop" and isinstance(reply.choices[0].message.parsed, Car)
        answer = client.responses.parse(model="demo", input="Describe a car.", text_format=Car, max_output_tokens=300)
        assert isinstance(answer.output_parsed, Car)
    with client.chat.completions.stream(model="demo", messages=messages, response_format=Car, seed=9, max_tokens=300) as stream:
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Car)


def test_any_object(demo):
    for parameters in ({"response_format": {"type": "json_object"}}, {"structured_outputs": {"json_object": True}}):
        for choice in demo.complete(prompt=PROMPTS, max_tokens=100, seed=3, **parameters)["choices"]:
            assert isinstance(json.loads(choice["text"]), dict)
    plain = demo.complete(prompt="a", temperature=0)["choices"]
    assert demo.complete(prompt="a", temperature=0, response_format={"type": "text"})["choices"] == plain


@pytest.mark.parametrize("schema, says", [
    ({"type": "object", "properties": {"a": {"type": "array", "items": {"not": {}}}}}, 'at #/properties/a/items of the schema, "not"'),
    ({"type": "array", "uniqueItems": True}, "uniqueItems"),
    ({"type": "number", "multipleOf": 0.01}, "multipleOf"),
    ({"type": "integer", "multipleOf": 7, "minimum": 5}, "multiples of 7"),
    ({"type": "integer", "multipleOf": 7, "minimum": 8, "maximum": 13}, "no text"),
    ({"type": "object", "patternProperties": {"a": {}}}, "patternProperties"),
    ({"$ref": "other.json"}, "$ref"),
    ({"$ref": "#/$defs/none"}, "leads to no schema"),
    ({"$ref": "#"}, "leads back to itself"),
    ({"anyOf": [{"allOf": [{"$ref": "#"}]}, {"type": "null"}]}, "leads back to itself"),
    ({"type": "strin"}, '"type" must be'),
    ({"type": "object", "properties": {"a": 5}}, '"properties" must be'),
    ({"type": "string", "minLength": -1}, "minLength"),
    ({"type": "string", "pattern": "(?<=a)b"}, "look-around"),
    ({"type": "integer", "minimum": 5, "maximum": 4}, "no text"),
    ({"type": "object", "properties": {"a": False}, "required": ["a"]}, "no text"),
    ({"type": "object", "required": ["a"], "additionalProperties": False}, "no text"),
    ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "no text"),
    ({"enum": ["a"], "type": "integer"}, "no text"),
    ({"type": "array", "minItems": 3, "maxItems": 2}, "no text"),
    ({"allOf": [{"anyOf": [{"const": 10 * i + j} for j in range(10)]} for i in range(6)]}, "too large"),
    ({"type": "object", "properties": {str(i): {"type": "string", "minLength": 3} for i in range(20000)}}, "more than"),
    ({"$ref": "#/$defs/0", "$defs": {str(i): {"$ref": f"#/$defs/{i + 1}"} for i in range(5000)}}, "other references"),
    ({"type": "object", "properties": {f"p{i}": {"type": "string", "pattern": "^a$", "maxLength": 5}
                                       for i in range(3000)}}, "complicated"),
    ({"type": "string", "pattern": "^((((a?b?){0,40}){0,40}){0,40}c?){0,40}$", "maxLength": 5000}, "co"),
    ({"enum": ["x" * 10000] * 100, "allOf": [{"enum": ["y" * 10000] * 100}]}, "complicated"),
    ("{", "JSON"),
    (5, "must be a JSON Schema"),
])
def test_what_cannot_be_kept_is_refused(demo, schema, says):
    status, _, answer = demo.request("POST", "/v1/completions", {"prompt": "a", "guided_json": schema})
    assert status == 400, answer
    assert answer["error"]["param"] == "guided_json" and says in answer["error"]["message"], answer


def keywords(text):
    return re.findall(r"`(\$?[A-Za-z]+)`", text)


def test_the_documentation_lists_what_is_read_and_refused(demo):
    with open(os.path.join(os.path.dirname(__file__), "..", "..", "docs", "structured-output.md")) as file:
        section = file.read().split("## JSON Schema")[1].split("## ")[0]
    table = section.split("| keyword |")[1].split("\n\n")[0]
    read = [name for row in table.splitlines()[2:] for name in keywords(row.split("|")[1])]
    refused = keywords(section.split("Refused, because")[1].split(". The answer")[0].replace("`false`", ""))
    assert len(read) > 25 and len(refused) > 10

    def says_of(name, value):
        return demo.request("POST", "/v1/completions", {"prompt": "a", "guided_json": {name: value}})[2]

    for name in read:
        answers = [str(says_of(name, wrong).get("error")) for wrong in ({"a": 5}, 1.5)]
        assert name == "const" or any(f'"{name}" must be' in answer for answer in answers), (name, answers)
    for name in refused:
        assert f'"{name}" is not supported' in says_of(name, True)["error"]["message"]
    for name in ("title", "description", "default", "examples", "made-up"):
        assert "choices" in says_of(name, True)


@pytest.mark.parametrize("format, says", [
    ("json", "must be an object"), ({}, "type must be"), ({"type": "xml"}, '"json_schema", but is "xml"'), ({"type": "json_schema"}, "json_schema must be"),
    ({"type": "json_schema", "json_schema": {"name": "a"}}, "json_schema.schema must be an object, but is missing"),
    ({"type": "json_schema", "json_schema": {"name": 5, "schema": {}}}, "name"),
    ({"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "integer", "multipleOf": 0.5}}}, "multipleOf"),
])
def test_a_wrong_response_format_is_refused(demo, format, says):
    status, _, answer = demo.request("POST", "/v1/completions", {"prompt": "a", "response_format": format})
    assert status == 400 and answer["error"]["param"] == "response_format" and says in answer["error"]["message"], answer
