"""The ollama library for Python against /api, streamed and not."""

import json
import unittest

import ollama

import serve
from test_openai import SCHEMA, WEATHER

HI = [{"role": "user", "content": "Tell me about the sea."}]
ASK = [{"role": "user", "content": "What is the weather in Rome for 3 days?"}]
SHORT = {"num_predict": 24, "seed": 1}


class Ollama(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = serve.Serve("-m", serve.MODEL, "-c", "2048")
        cls.client = ollama.Client(host=cls.server.url)

    @classmethod
    def tearDownClass(cls):
        if cls.server.stop() != 0:
            raise RuntimeError("joule serve did not end well")

    def test_chat(self):
        whole = self.client.chat("joule-tiny", HI, options=SHORT)
        text, last = "", None
        for part in self.client.chat("joule-tiny:latest", HI, stream=True, options=SHORT):
            text += part.message.content or ""
            last = part
        self.assertEqual(text, whole.message.content)
        self.assertTrue(last.done)
        self.assertEqual(last.eval_count, whole.eval_count)
        self.assertIn(whole.done_reason, ["stop", "length"])

    def test_options(self):
        options = {**SHORT, "temperature": 0.5, "top_k": 5, "top_p": 0.9, "min_p": 0.05, "typical_p": 0.9,
                   "repeat_penalty": 1.1, "repeat_last_n": 16, "presence_penalty": 0.1, "frequency_penalty": 0.1}
        a, b = (self.client.chat("joule-tiny", HI, options=options).message.content for _ in range(2))
        self.assertEqual(a, b)
        word = a.split()[1]
        self.assertNotIn(word, self.client.chat("joule-tiny", HI, options={**options, "stop": [word]}).message.content)

    def test_tools(self):
        r = self.client.chat("joule-tiny", ASK, tools=[WEATHER], options={"num_predict": 200, "temperature": 0})
        for call in r.message.tool_calls or []:
            self.assertEqual(call.function.name, "weather")
            self.assertIn(call.function.arguments["city"], ["Rome", "Oslo"])
        turn = ASK + [{"role": "assistant", "content": "", "tool_calls": [
            {"function": {"name": "weather", "arguments": {"city": "Rome", "days": 3}}}]},
            {"role": "tool", "tool_name": "weather", "content": "sunny"}]
        for part in self.client.chat("joule-tiny", turn, tools=[WEATHER], options=SHORT, stream=True):
            pass
        self.assertTrue(part.done)

    def test_thinking_and_format(self):
        ask = [{"role": "user", "content": "What is 9 + 8?"}]
        r = self.client.chat("joule-tiny", ask, think=True, options={"num_predict": 200, "temperature": 0})
        self.assertTrue(r.message.thinking)
        r = self.client.chat("joule-tiny", ask, think=False, options=SHORT)
        self.assertFalse(r.message.thinking)
        r = self.client.chat("joule-tiny", ASK, format=SCHEMA, options={"num_predict": 200})
        self.assertIn(json.loads(r.message.content)["city"], ["Rome", "Oslo"])

    def test_generate(self):
        whole = self.client.generate("joule-tiny", "Tell me about the sea.", system="Be brief.", options=SHORT)
        text = "".join(p.response for p in self.client.generate(
            "joule-tiny", "Tell me about the sea.", system="Be brief.", options=SHORT, stream=True))
        self.assertEqual(text, whole.response)
        r = self.client.generate("joule-tiny", "Weather?", format=SCHEMA, options={"num_predict": 200})
        self.assertIn(json.loads(r.response)["city"], ["Rome", "Oslo"])

    def test_about(self):
        self.assertEqual([m.model for m in self.client.list().models], ["joule-tiny"])
        self.assertIn("tools", self.client.show("joule-tiny").capabilities)

    def test_errors(self):
        for messages, code in (([{"role": "user", "content": "x", "images": ["AAAA"]}], 400),
                               ([{"role": "user", "content": "one two three " * 3000}], 400)):
            with self.assertRaises(ollama.ResponseError) as e:
                self.client.chat("joule-tiny", messages)
            self.assertEqual(e.exception.status_code, code)
        with self.assertRaises(ollama.ResponseError) as e:
            self.client.chat("other", HI)
        self.assertEqual(e.exception.status_code, 404)


if __name__ == "__main__":
    unittest.main()
