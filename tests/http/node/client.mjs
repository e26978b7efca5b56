// The official Node client against a server with the demo model: node client.mjs URL. Ends with status 0 if all is well.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "none", maxRetries: 0 });
const prompt = "Once upon a time";
const greedy = { model: "demo", prompt, max_tokens: 12, temperature: 0 };

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const tests = {
  async models() {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    assert.deepEqual(ids, ["demo"]);
    assert.equal((await client.models.retrieve("demo")).owned_by, "quern");
    await assert.rejects(client.models.retrieve("gpt-4"), OpenAI.NotFoundError);
  },

  async completions() {
    const answer = await client.completions.create(greedy);
    assert.equal(answer.usage.completion_tokens, 12);
    const chunks = await collect(await client.completions.create({ ...greedy, stream: true, stream_options: { include_usage: true } }));
    assert.equal(chunks.map((chunk) => chunk.choices[0]?.text ?? "").join(""), answer.choices[0].text);
    assert.equal(chunks.at(-1).usage.completion_tokens, 12);
  },

  async parametersOfCompletions() {
    const answer = await client.completions.create({
      ...greedy, n: 2, best_of: 3, echo: true, logprobs: 2, seed: 7, temperature: 0.8, top_p: 0.9, presence_penalty: 0.5,
      frequency_penalty: 0.5, logit_bias: { 5: -100 }, stop: ["\n\n", "zebra"], user: "someone",
    });
    assert.equal(answer.choices.length, 2);
    for (const choice of answer.choices) {
      assert.ok(choice.text.startsWith(prompt));
      assert.equal(choice.logprobs.tokens.length, choice.logprobs.token_logprobs.length);
    }
    await assert.rejects(client.completions.create({ ...greedy, suffix: "end" }), /suffix/);
  },

  async chat() {
    const ask = { model: "demo", messages: [{ role: "user", content: "Hi" }], max_completion_tokens: 12, temperature: 0 };
    const answer = await client.chat.completions.create(ask);
    assert.equal(answer.choices[0].message.role, "assistant");
    const chunks = await collect(await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } }));
    assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), answer.choices[0].message.content);
    assert.equal(chunks.at(-1).usage.completion_tokens, answer.usage.completion_tokens);
    const stream = client.chat.completions.stream(ask);
    assert.equal(await stream.finalContent(), answer.choices[0].message.content);
  },

  async parametersOfChat() {
    const answer = await client.chat.completions.create({
      model: "demo", messages: [{ role: "system", content: "Be brief." }, { role: "user", content: [{ type: "text", text: "Hi" }] }],
      max_completion_tokens: 12, n: 2, seed: 3, temperature: 0.9, top_p: 0.9, presence_penalty: 0.5, frequency_penalty: 0.5,
      logit_bias: { 5: -100 }, stop: ["\n\n"], logprobs: true, top_logprobs: 2, response_format: { type: "text" },
      reasoning_effort: "low", metadata: { a: "b" }, store: false, service_tier: "auto", user: "someone", verbosity: "low",
    });
    for (const choice of answer.choices) {
      assert.equal(choice.logprobs.content.map((token) => token.token).join("").includes("\uFFFD"), false);
      assert.equal(choice.logprobs.content[0].top_logprobs.length, 2);
    }
    await assert.rejects(
      client.chat.completions.create({ model: "demo", messages: [{ role: "user", content: "Hi" }], modalities: ["audio"] }),
      (error) => error instanceof OpenAI.BadRequestError && error.param === "modalities",
    );
  },

  async schema() {
    const schema = { type: "object", properties: { legs: { type: "integer" } }, required: ["legs"], additionalProperties: false };
    const answer = await client.chat.completions.create({
      model: "demo", messages: [{ role: "user", content: "Hi" }], max_completion_tokens: 100,
      response_format: { type: "json_schema", json_schema: { name: "fox", schema, strict: true } },
    });
    assert.equal(typeof JSON.parse(answer.choices[0].message.content).legs, "number");
  },

  async responses() {
    const ask = { model: "demo", input: "Hi", instructions: "Be brief.", max_output_tokens: 12, temperature: 0, store: false };
    const answer = await client.responses.create(ask);
    assert.equal(answer.object, "response");
    const events = await collect(await client.responses.create({ ...ask, stream: true }));
    const deltas = events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta);
    assert.equal(deltas.join(""), answer.output_text);
    await assert.rejects(client.responses.retrieve(answer.id), OpenAI.NotFoundError);
  },

  async errors() {
    await assert.rejects(client.completions.create({ ...greedy, temperature: -1 }), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.param, "temperature");
      return true;
    });
    await assert.rejects(client.embeddings.create({ model: "demo", input: "a" }), /embeddings/);
    await assert.rejects(client.moderations.create({ input: "a" }), OpenAI.BadRequestError);
  },

  async abort() {
    const stream = await client.completions.create({ ...greedy, max_tokens: 900, stream: true });
    for await (const chunk of stream) {
      assert.equal(chunk.object, "text_completion");
      break; // closes the connection
    }
  },
};

for (const [name, test] of Object.entries(tests)) {
  try {
    await test();
  } catch (error) {
    console.error(`${name}: ${error.stack}`);
    process.exitCode = 1;
  }
}
