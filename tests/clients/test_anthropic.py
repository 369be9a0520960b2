"""The anthropic library for Python against /v1/messages, streamed and not."""

import json
import unittest

import anthropic

import serve
from test_openai import SCHEMA

HI = [{"role": "user", "content": "Tell me about the sea."}]
ASK = [{"role": "user", "content": "What is the weather in Rome for 3 days?"}]
WEATHER = {"name": "weather", "description": "Weather of a city", "input_schema": SCHEMA}


class Messages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = serve.Serve("-m", serve.MODEL, "-c", "2048")
        cls.client = anthropic.Anthropic(base_url=cls.server.url, api_key="none", max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        if cls.server.stop() != 0:
            raise RuntimeError("joule serve did not end well")

    @staticmethod
    def fields(fields):
        fields = {"model": "joule-tiny", "messages": HI, "max_tokens": 24, **fields}
        if "thinking" not in fields:  # the library's types know no sampling beside thinking
            fields.setdefault("extra_body", {}).setdefault("seed", 1)
        return fields

    def create(self, **fields):
        return self.client.messages.create(**self.fields(fields))

    def stream(self, **fields):
        with self.client.messages.stream(**self.fields(fields)) as stream:
            kinds = [event.type for event in stream]
            return kinds, stream.get_final_message()

    def check_city(self, v):
        self.assertIn(v["city"], ["Rome", "Oslo"])
        self.assertGreaterEqual(v["days"], 0)

    def test_whole_and_stream(self):
        whole = self.create(system="Be brief.")
        self.assertEqual((whole.type, whole.role), ("message", "assistant"))
        self.assertIn(whole.stop_reason, ["end_turn", "max_tokens"])
        kinds, last = self.stream(system="Be brief.")
        self.assertEqual(last.content[0].text, whole.content[0].text)
        self.assertEqual(last.stop_reason, whole.stop_reason)
        self.assertEqual(last.usage.output_tokens, whole.usage.output_tokens)
        self.assertGreater(last.usage.cache_read_input_tokens, 0)
        self.assertEqual((kinds[0], kinds[-1]), ("message_start", "message_stop"))

    def test_blocks_and_sampling(self):
        blocks = [{"role": "user", "content": [{"type": "text", "text": "Tell me about the sea."}]}]
        system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
        extra = {"temperature": 0.7, "top_p": 0.9, "top_k": 5, "seed": 1}
        a = self.create(messages=blocks, system=system, extra_body=extra)
        b = self.create(messages=HI, system="Be brief.", extra_body=extra)
        self.assertEqual(a.content[0].text, b.content[0].text)

    def test_stop_sequence(self):
        text = self.create(extra_body={"temperature": 0}).content[0].text
        word = text.split()[1]
        r = self.create(stop_sequences=[word], extra_body={"temperature": 0})
        self.assertEqual((r.stop_reason, r.stop_sequence), ("stop_sequence", word))
        self.assertEqual(r.content[0].text, text[:text.index(word)])

    def test_tools(self):
        for choice in ({"type": "any", "disable_parallel_tool_use": True}, {"type": "tool", "name": "weather"}):
            r = self.create(messages=ASK, tools=[WEATHER], tool_choice=choice, max_tokens=200)
            self.assertEqual(r.stop_reason, "tool_use")
            call = r.content[-1]
            self.assertEqual((call.type, call.name), ("tool_use", "weather"))
            self.check_city(call.input)
        _, last = self.stream(messages=ASK, tools=[WEATHER], tool_choice=choice, max_tokens=200)
        self.check_city(last.content[-1].input)
        turn = ASK + [{"role": "assistant", "content": [b.model_dump() for b in r.content]},
                      {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}]}]
        after = self.create(messages=turn, tools=[WEATHER])
        read = r.usage.input_tokens + r.usage.cache_read_input_tokens + r.usage.output_tokens
        self.assertGreaterEqual(after.usage.cache_read_input_tokens, read - 1)
        for choice in ("auto", "none"):
            r = self.create(messages=ASK, tools=[WEATHER], tool_choice={"type": choice}, max_tokens=200)
            if choice == "none":
                self.assertNotEqual(r.stop_reason, "tool_use")

    def test_thinking(self):
        ask = [{"role": "user", "content": "What is 9 + 8?"}]
        r = self.create(messages=ask, max_tokens=300, thinking={"type": "enabled", "budget_tokens": 1024})
        self.assertEqual(r.content[0].type, "thinking")
        self.assertTrue(r.content[0].thinking)
        kinds, last = self.stream(messages=ask, max_tokens=300, thinking={"type": "enabled", "budget_tokens": 1024})
        self.assertIn("thinking", kinds)
        self.assertEqual(last.content[0].type, "thinking")
        back = ask + [{"role": "assistant", "content": [b.model_dump() for b in last.content]},
                      {"role": "user", "content": "And 2 more?"}]
        self.create(messages=back, thinking={"type": "disabled"})

    def test_structured_output(self):
        form = {"format": {"type": "json_schema", "schema": SCHEMA}}
        r = self.create(messages=ASK, max_tokens=200, extra_body={"output_config": form})
        self.check_city(json.loads(r.content[0].text))
        r = self.create(messages=ASK, max_tokens=200, extra_body={"output_format": form["format"]})
        self.check_city(json.loads(r.content[0].text))

    def test_count_tokens(self):
        n = self.client.messages.count_tokens(model="joule-tiny", messages=ASK, tools=[WEATHER]).input_tokens
        usage = self.create(messages=ASK, tools=[WEATHER], max_tokens=1).usage
        self.assertEqual(n, usage.input_tokens + usage.cache_read_input_tokens)

    def test_errors(self):
        image = [{"role": "user", "content": [{"type": "image", "source": {
            "type": "base64", "media_type": "image/png", "data": "AAAA"}}]}]
        bad = [{"messages": []}, {"messages": image}, {"max_tokens": 0}, {"extra_body": {"temperature": -1}},
               {"messages": [{"role": "user", "content": "one two three " * 3000}]}]
        for fields in bad:
            with self.assertRaises(anthropic.BadRequestError) as e:
                self.create(**fields)
            self.assertEqual(e.exception.body["type"], "error")
        with self.assertRaises(anthropic.NotFoundError):
            self.create(model="other")


if __name__ == "__main__":
    unittest.main()
