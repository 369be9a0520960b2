"""The openai library for Python: every field of docs/server.md, streamed and not."""

import asyncio
import json
import unittest

import openai
from pydantic import BaseModel

import serve

HI = [{"role": "user", "content": "Tell me about the sea."}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "enum": ["Rome", "Oslo"]},
                                           "days": {"type": "integer", "minimum": 0}},
          "required": ["city", "days"], "additionalProperties": False}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "Weather of a city", "parameters": SCHEMA}}
OTHER = {"type": "function", "function": {"name": "clock", "description": "Time of day", "parameters": {
    "type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]}}}
WEATHER_R = {"type": "function", "name": "weather", "description": "Weather of a city", "parameters": SCHEMA}


class Trip(BaseModel):
    city: str
    days: int
    return_trip: bool


class Base(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = serve.Serve("-m", serve.MODEL, "-c", "2048", "--alias", "alias")
        cls.client = openai.OpenAI(base_url=cls.server.url + "/v1", api_key="none", max_retries=0)
        cls.create = cls.client.chat.completions.create

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        if cls.server.stop() != 0:
            raise RuntimeError("joule serve did not end well")

    def chat(self, messages=HI, **fields):
        fields.setdefault("max_tokens", 24)
        fields.setdefault("seed", 1)
        return self.create(model="joule-tiny", messages=messages, **fields)

    def check_city(self, arguments):
        v = json.loads(arguments)
        self.assertIn(v["city"], ["Rome", "Oslo"])
        self.assertGreaterEqual(v["days"], 0)
        self.assertEqual(sorted(v), ["city", "days"])


class Chat(Base):
    def test_models(self):
        ids = [m.id for m in self.client.models.list()]
        self.assertEqual(ids, ["joule-tiny", "alias"])
        self.assertEqual(self.client.models.retrieve("alias").id, "alias")
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("other")

    def test_whole_and_stream(self):
        whole = self.chat()
        self.assertEqual(whole.object, "chat.completion")
        self.assertIn(whole.choices[0].finish_reason, ["stop", "length"])
        self.assertEqual(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens)
        text, usage, finish = "", None, None
        for chunk in self.chat(stream=True, stream_options={"include_usage": True}):
            if chunk.choices:
                text += chunk.choices[0].delta.content or ""
                finish = chunk.choices[0].finish_reason or finish
            usage = chunk.usage or usage
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(finish, whole.choices[0].finish_reason)
        self.assertEqual(usage.completion_tokens, whole.usage.completion_tokens)
        self.assertGreater(usage.prompt_tokens_details.cached_tokens, 0)

    def test_model_names(self):
        for name in ("joule-tiny", "alias", "default", "joule-tiny:latest"):
            self.create(model=name, messages=HI, max_tokens=1)
        with self.assertRaises(openai.NotFoundError):
            self.create(model="gpt-4", messages=HI)

    def test_limits(self):
        for field in ({"max_tokens": 3}, {"max_tokens": None, "max_completion_tokens": 3},
                      {"max_tokens": None, "extra_body": {"n_predict": 3}}):
            r = self.chat(temperature=0, **field)
            self.assertEqual((r.choices[0].finish_reason, r.usage.completion_tokens), ("length", 3))
        # more than there is room for is cut, not refused
        r = self.chat(max_tokens=10 ** 6, stop=[" "], temperature=0)
        self.assertEqual(r.choices[0].finish_reason, "stop")

    def test_stop(self):
        text = self.chat(temperature=0).choices[0].message.content
        word = text.split()[1]
        for stop in (word, [word, "never in it"]):
            r = self.chat(temperature=0, stop=stop)
            self.assertEqual(r.choices[0].message.content, text[:text.index(word)])
            self.assertEqual(r.choices[0].finish_reason, "stop")
            self.assertEqual(r.choices[0].finish_details["stop"], word)

    def test_n_and_seed(self):
        r = self.chat(n=3, temperature=1.2)
        self.assertEqual([c.index for c in r.choices], [0, 1, 2])
        again = self.chat(n=3, temperature=1.2)
        self.assertEqual([c.message.content for c in r.choices], [c.message.content for c in again.choices])
        texts = {}
        for chunk in self.chat(n=3, temperature=1.2, stream=True):
            for c in chunk.choices:
                texts[c.index] = texts.get(c.index, "") + (c.delta.content or "")
        self.assertEqual([texts[i] for i in range(3)], [c.message.content for c in r.choices])

    def test_logprobs(self):
        r = self.chat(temperature=0, logprobs=True, top_logprobs=3)
        entries = r.choices[0].logprobs.content
        self.assertEqual("".join(e.token for e in entries), r.choices[0].message.content)
        for e in entries:
            self.assertEqual(len(e.top_logprobs), 3)
            self.assertLessEqual(e.logprob, 0)
            self.assertAlmostEqual(e.top_logprobs[0].logprob, e.logprob, places=5)
        streamed = [e.token for chunk in self.chat(temperature=0, logprobs=True, stream=True) for c in chunk.choices
                    if c.logprobs for e in c.logprobs.content]
        self.assertEqual(streamed, [e.token for e in entries])

    def test_logit_bias(self):
        first = self.chat(temperature=0, max_tokens=1, logprobs=True, top_logprobs=2).choices[0].logprobs.content[0]
        token = self.tokens(first.token)[0]
        r = self.chat(temperature=0, max_tokens=1, logit_bias={str(token): -100})
        self.assertNotEqual(r.choices[0].message.content, first.token)

    def tokens(self, text):
        return self.client.post(self.server.url + "/tokenize", body={"content": text}, cast_to=object)["tokens"]

    def test_sampling_fields(self):
        plain = {"temperature": 0.7, "top_p": 0.9, "presence_penalty": 0.5, "frequency_penalty": 0.5}
        extra = {"top_k": 5, "min_p": 0.05, "typical_p": 0.9, "repeat_penalty": 1.1, "repeat_last_n": 32,
                 "dry_multiplier": 0.5, "dry_base": 1.75, "dry_allowed_length": 2, "dry_penalty_last_n": 64}
        a = self.chat(**plain, extra_body=extra)
        b = self.chat(**plain, extra_body=extra)
        self.assertEqual(a.choices[0].message.content, b.choices[0].message.content)
        greedy = self.chat(temperature=0).choices[0].message.content
        self.assertEqual(self.chat(temperature=2, extra_body={"top_k": 1}).choices[0].message.content, greedy)

    def test_ignore_eos(self):
        r = self.chat([{"role": "user", "content": "Say yes."}], max_tokens=40, temperature=0,
                      extra_body={"ignore_eos": True})
        self.assertEqual((r.choices[0].finish_reason, r.usage.completion_tokens), ("length", 40))

    def test_progress_and_timings(self):
        long = [{"role": "user", "content": "one two three four five six seven " * 60}]
        chunks = list(self.chat(long, stream=True, max_tokens=2, extra_body={"return_progress": True}))
        progress = [c.prompt_progress for c in chunks if getattr(c, "prompt_progress", None)]
        self.assertTrue(progress)
        self.assertEqual(progress[-1]["processed"], progress[-1]["total"])
        self.assertGreater(chunks[-1].timings["predicted_n"], 0)

    def test_image(self):
        parts = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
        with self.assertRaises(openai.BadRequestError):
            self.chat([{"role": "user", "content": parts}])

    def test_thinking(self):
        ask = [{"role": "user", "content": "What is 9 + 8?"}]
        for field in ({"reasoning_effort": "high"}, {"extra_body": {"chat_template_kwargs": {"enable_thinking": True}}}):
            r = self.chat(ask, temperature=0, max_tokens=200, **field)
            self.assertTrue(r.choices[0].message.reasoning_content)
            self.assertNotIn("<|channel>", r.choices[0].message.content)
            self.assertGreater(r.usage.completion_tokens_details.reasoning_tokens, 0)
        r = self.chat(ask, temperature=0, max_tokens=200, reasoning_effort="none")
        self.assertFalse(getattr(r.choices[0].message, "reasoning_content", None))
        r = self.chat(ask, temperature=0, max_tokens=200, reasoning_effort="high", extra_body={"reasoning_budget": 3})
        self.assertLessEqual(r.usage.completion_tokens_details.reasoning_tokens, 8)
        thought = "".join(getattr(c.choices[0].delta, "reasoning_content", None) or "" for c in
                          self.chat(ask, temperature=0, max_tokens=200, reasoning_effort="high", stream=True) if c.choices)
        self.assertTrue(thought)


class Tools(Base):
    ASK = [{"role": "user", "content": "What is the weather in Rome for 3 days?"}]

    def test_required_and_named(self):
        for choice in ("required", {"type": "function", "function": {"name": "weather"}}):
            r = self.chat(self.ASK, tools=[WEATHER], tool_choice=choice, max_tokens=200, parallel_tool_calls=False)
            self.assertEqual(r.choices[0].finish_reason, "tool_calls")
            calls = r.choices[0].message.tool_calls
            self.assertEqual([c.function.name for c in calls], ["weather"])
            self.check_city(calls[0].function.arguments)
        r = self.chat(self.ASK, tools=[WEATHER, OTHER], tool_choice={"type": "function", "function": {"name": "clock"}},
                      max_tokens=200)
        self.assertEqual(r.choices[0].message.tool_calls[0].function.name, "clock")

    def test_none(self):
        r = self.chat(self.ASK, tools=[WEATHER], tool_choice="none")
        self.assertIsNone(r.choices[0].message.tool_calls)

    def test_stream_equals_whole(self):
        fields = {"tools": [WEATHER], "tool_choice": "required", "max_tokens": 200, "temperature": 0}
        whole = self.chat(self.ASK, **fields).choices[0].message.tool_calls
        with self.client.chat.completions.stream(model="joule-tiny", messages=self.ASK, seed=1, **fields) as stream:
            for _ in stream:
                pass
            last = stream.get_final_completion().choices[0]
        self.assertEqual(last.finish_reason, "tool_calls")
        self.assertEqual([(c.function.name, json.loads(c.function.arguments)) for c in last.message.tool_calls],
                         [(c.function.name, json.loads(c.function.arguments)) for c in whole])

    def test_result_goes_back(self):
        r = self.chat(self.ASK, tools=[WEATHER], tool_choice="required", parallel_tool_calls=False, max_tokens=200)
        message = r.choices[0].message
        turn = self.ASK + [message.model_dump(exclude_none=True),
                           {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny, 25 degrees"}]
        after = self.chat(turn, tools=[WEATHER], max_tokens=40)
        self.assertIn(after.choices[0].finish_reason, ["stop", "length", "tool_calls"])
        self.assertGreaterEqual(after.usage.prompt_tokens_details.cached_tokens, r.usage.total_tokens - 1)

    def test_cut_call_is_length(self):
        r = self.chat(self.ASK, tools=[WEATHER], tool_choice="required", max_tokens=4)
        self.assertEqual(r.choices[0].finish_reason, "length")

    def test_unknown_tool(self):
        with self.assertRaises(openai.BadRequestError) as e:
            self.chat(self.ASK, tools=[WEATHER], tool_choice={"type": "function", "function": {"name": "nothing"}})
        self.assertEqual(e.exception.param, "tool_choice")


class Forms(Base):
    FORMAT = {"type": "json_schema", "json_schema": {"name": "trip", "schema": SCHEMA, "strict": True}}

    def test_json_object(self):
        r = self.chat(response_format={"type": "json_object"}, max_tokens=400, temperature=0)
        if r.choices[0].finish_reason == "stop":
            self.assertIsInstance(json.loads(r.choices[0].message.content), dict)

    def test_json_schema(self):
        r = self.chat(response_format=self.FORMAT, max_tokens=200)
        self.check_city(r.choices[0].message.content)
        text = "".join(c.choices[0].delta.content or "" for c in
                       self.chat(response_format=self.FORMAT, max_tokens=200, stream=True) if c.choices)
        self.assertEqual(text, r.choices[0].message.content)

    def test_pydantic(self):
        # a word of a free string may go on for long with a model this small: greedy decoding ends it
        r = self.client.chat.completions.parse(model="joule-tiny", messages=HI, response_format=Trip, max_tokens=1500,
                                               temperature=0)
        self.assertIsInstance(r.choices[0].message.parsed, Trip)

    def test_with_thinking(self):
        r = self.chat(response_format=self.FORMAT, reasoning_effort="high", max_tokens=400, temperature=0,
                      extra_body={"reasoning_budget": 20})
        self.check_city(r.choices[0].message.content)

    def test_with_tools(self):
        r = self.chat(response_format=self.FORMAT, tools=[WEATHER], max_tokens=300, temperature=0)
        message = r.choices[0].message
        if message.tool_calls:
            self.check_city(message.tool_calls[0].function.arguments)
        else:
            self.check_city(message.content)

    def test_grammar(self):
        r = self.chat(extra_body={"grammar": 'root ::= "yes" | "no"'})
        self.assertIn(r.choices[0].message.content, ["yes", "no"])
        r = self.chat(extra_body={"json_schema": {"enum": [1, 2]}})
        self.assertIn(r.choices[0].message.content, ["1", "2"])

    def test_bad_forms(self):
        bad = [{"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nothing"}}}},
               {"response_format": {"type": "xml"}}, {"extra_body": {"grammar": "root ::= ("}},
               {"response_format": self.FORMAT, "extra_body": {"grammar": 'root ::= "a"'}}]
        for fields in bad:
            with self.assertRaises(openai.BadRequestError):
                self.chat(**fields)


class Text(Base):
    def test_whole_stream_tokens(self):
        ask = {"model": "joule-tiny", "max_tokens": 8, "temperature": 0}
        r = self.client.completions.create(prompt="The sea is", **ask)
        text = "".join(c.choices[0].text for c in self.client.completions.create(prompt="The sea is", stream=True, **ask))
        self.assertEqual(text, r.choices[0].text)
        ids = self.client.post(self.server.url + "/tokenize", body={"content": "The sea is", "add_special": True},
                               cast_to=object)["tokens"]
        self.assertEqual(self.client.completions.create(prompt=ids, **ask).choices[0].text, text)
        r = self.client.completions.create(prompt="The sea is", logprobs=2, n=2, **ask)
        self.assertEqual(len(r.choices), 2)
        self.assertEqual("".join(r.choices[0].logprobs.tokens), r.choices[0].text)
        self.assertEqual(len(r.choices[0].logprobs.top_logprobs[0]), 2)


class Responses(Base):
    def ask(self, **fields):
        fields.setdefault("input", "Tell me about the sea.")
        fields.setdefault("max_output_tokens", 24)
        return self.client.responses.create(model="joule-tiny", temperature=0, **fields)

    def test_whole_and_stream(self):
        whole = self.ask(instructions="Be brief.")
        self.assertTrue(whole.output_text)
        text, last = "", None
        for event in self.ask(instructions="Be brief.", stream=True):
            text += event.delta if event.type == "response.output_text.delta" else ""
            last = event
        self.assertEqual(text, whole.output_text)
        self.assertIn(last.type, ["response.completed", "response.incomplete"])
        self.assertEqual(last.response.output_text, text)
        self.assertEqual(last.response.usage.total_tokens, whole.usage.total_tokens)

    def test_turns(self):
        items = [{"role": "user", "content": "Tell me about the sea."}]
        first = self.ask(input=items)
        after = self.ask(input=items + [o.model_dump() for o in first.output] + [{"role": "user", "content": "More."}])
        self.assertGreater(after.usage.input_tokens_details.cached_tokens, first.usage.input_tokens)
        with self.assertRaises(openai.BadRequestError):
            self.ask(previous_response_id=first.id)

    def test_tools(self):
        fields = {"input": "What is the weather in Rome for 3 days?", "tools": [WEATHER_R], "max_output_tokens": 200,
                  "parallel_tool_calls": False}
        for choice in ("required", {"type": "function", "name": "weather"}):
            r = self.ask(tool_choice=choice, **fields)
            call = r.output[-1]
            self.assertEqual((call.type, call.name), ("function_call", "weather"))
            self.check_city(call.arguments)
        names = [e.type for e in self.ask(tool_choice="required", stream=True, **fields)]
        self.assertIn("response.function_call_arguments.delta", names)
        self.assertIn("response.function_call_arguments.done", names)
        after = self.ask(input=[{"role": "user", "content": fields["input"]}, call.model_dump(),
                                {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}],
                         tools=[WEATHER_R])
        self.assertIn(after.status, ["completed", "incomplete"])

    def test_parse_and_reasoning(self):
        r = self.client.responses.parse(model="joule-tiny", input="Plan a trip.", text_format=Trip, temperature=0,
                                        max_output_tokens=1500)
        self.assertIsInstance(r.output_parsed, Trip)
        r = self.ask(input="What is 9 + 8?", reasoning={"effort": "high"}, max_output_tokens=200)
        self.assertEqual(r.output[0].type, "reasoning")
        self.assertGreater(r.usage.output_tokens_details.reasoning_tokens, 0)


class Errors(Base):
    def test_statuses(self):
        for fields in ({"temperature": -1}, {"n": 99}, {"top_logprobs": 50}, {"stop": [""]}, {"seed": "x"},
                       {"logit_bias": {"x": 1}}, {"extra_body": {"functions": []}}):
            with self.assertRaises(openai.BadRequestError):
                self.chat(**fields)
        with self.assertRaises(openai.BadRequestError) as e:
            self.chat([{"role": "user", "content": "one two three " * 3000}])
        self.assertEqual(e.exception.code, "context_length_exceeded")

    def test_key(self):
        server = serve.Serve("-m", serve.MODEL, "-c", "1024", "--api-key", "secret")
        try:
            with openai.OpenAI(base_url=server.url + "/v1", api_key="wrong", max_retries=0) as client:
                with self.assertRaises(openai.AuthenticationError):
                    client.models.list()
            with openai.OpenAI(base_url=server.url + "/v1", api_key="secret", max_retries=0) as client:
                self.assertEqual([m.id for m in client.models.list()], ["joule-tiny"])
        finally:
            self.assertEqual(server.stop(), 0)

    def test_many_at_once_and_leaving(self):
        async def one(client, i, leave):
            stream = await client.chat.completions.create(model="joule-tiny", messages=HI, max_tokens=24, seed=i,
                                                          stream=True)
            text = ""
            async for chunk in stream:
                text += chunk.choices[0].delta.content or "" if chunk.choices else ""
                if leave and text:
                    await stream.close()
                    return None
            return text

        async def all_of_them():
            async with openai.AsyncOpenAI(base_url=self.server.url + "/v1", api_key="none", max_retries=0) as client:
                return await asyncio.gather(*(one(client, i, i % 2) for i in range(8)))

        texts = asyncio.run(all_of_them())
        serve.wait_until(lambda: self.server.running() == 0, "the answers of those who left to end")
        for i in range(0, 8, 2):
            self.assertEqual(texts[i], self.chat(seed=i).choices[0].message.content)


if __name__ == "__main__":
    unittest.main()
