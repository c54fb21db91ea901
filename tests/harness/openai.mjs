// Asks for a chat completion twice, whole and streamed, with the OpenAI client as it is published.
// Given the base URL; prints what came as one JSON object.

import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "a-fake-key", maxRetries: 0 });
const request = { model: "gpt-4", messages: [{ role: "user", content: "ping" }] };

const whole = await client.chat.completions.create(request).withResponse();

const streamed = await client.chat.completions.create({ ...request, stream: true }).withResponse();
const pieces = [];
for await (const chunk of streamed.data) pieces.push(chunk.choices[0].delta.content);

const branch = ({ response }) => response.headers.get("x-splitway-branch");
console.log(
  JSON.stringify({
    content: whole.data.choices[0].message.content,
    pieces,
    branches: [branch(whole), branch(streamed)],
  }),
);
