#!/usr/bin/env python3
"""quern run as a person meets it: behind a pseudo-terminal. Usage: terminal.py QUERN, in the folder tests/."""
import json
import os
import pty
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

QUERN = sys.argv.pop(1)
PATIENCE = float(os.environ.get("QUERN_TEST_PATIENCE", "200"))  # seconds: sanitizer builds are slow
PROMPT = ">>> "


class Terminal:
    """The program behind a pseudo-terminal. What it says is kept, without escape sequences unless asked for."""

    def __init__(self, *arguments, state, **environment):
        variables = {**os.environ, "TERM": "xterm", "LC_ALL": "C", "XDG_STATE_HOME": state, "HOME": state, **environment}
        self.process, self.end = pty.fork()
        if self.process == 0:
            try:
                os.execve(QUERN, [QUERN, "run", *arguments], variables)
            finally:
                os._exit(127)  # otherwise the child would go on as this test does, and fork in its turn
        self.raw = b""
        self.seen = 0

    def text(self):
        plain = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]", b"", self.raw).replace(b"\r", b"")
        return plain.decode(errors="replace")

    def read(self):
        """Reads what there is; False once the program has ended."""
        if not select.select([self.end], [], [], 0.1)[0]:
            return True
        try:
            piece = os.read(self.end, 65536)
        except OSError:
            return False
        self.raw += piece
        return bool(piece)

    def expect(self, pattern):
        """Waits until what was said since the last call matches, and returns it up to the match's end."""
        end = time.monotonic() + PATIENCE
        alive = True
        while time.monotonic() < end:
            fresh = self.text()[self.seen:]
            found = re.search(pattern, fresh)
            if found:
                self.seen += found.end()
                return fresh[:found.end()]
            if not alive:
                break
            alive = self.read()
        raise AssertionError(f"no {pattern!r} in {self.text()[self.seen:]!r}, after {self.text()[:self.seen]!r}")

    def type(self, text):
        os.write(self.end, text.encode())

    def enter(self, text):
        """Types an entry and returns the answer."""
        self.type(text + "\r")
        return self.expect(r"\n" + PROMPT + r"$")

    def close(self):
        """Ctrl-D, and the exit status."""
        self.type("\x04")
        end = time.monotonic() + PATIENCE
        while self.read():
            if time.monotonic() > end:
                os.kill(self.process, signal.SIGKILL)
                raise AssertionError(f"it does not end after {self.text()!r}")
        os.close(self.end)
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


def without_template(folder):
    """A model folder that has no chat template."""
    model = os.path.join(folder, "plain")
    shutil.copytree("models/gemma3-int4", model, ignore=shutil.ignore_patterns("chat_template.jinja"))
    return model


class Repl(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.state = self.folder.name

    def tearDown(self):
        self.folder.cleanup()

    def start(self, *arguments, **environment):
        arguments = arguments or ("-", "--temperature", "0", "--max-tokens", "12")
        terminal = Terminal(*arguments, state=self.state, **environment)
        terminal.expect(PROMPT)
        return terminal

    def saved(self, terminal, name="saved.json"):
        path = os.path.join(self.state, name)
        self.assertIn("Saved", terminal.enter("/save " + path))
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        with open(path, encoding="utf-8") as file:
            return json.load(file)["messages"]

    def test_a_conversation_is_kept_and_its_beginning_comes_from_the_cache(self):
        terminal = self.start()
        terminal.enter("/system You tell tales.")
        terminal.enter("Once upon a time there was a girl named Lily who had a dog.")
        terminal.enter("/stats")
        answer = terminal.enter("And then?")
        self.assertRegex(answer, r"\[\d+ prompt tokens, \d+ of them cached, in [\d.]+ s; \d+ tokens, [\d.]+ tokens/s; seed")
        messages = self.saved(terminal)
        self.assertEqual([message["role"] for message in messages],
                         ["system", "user", "assistant", "user", "assistant"])
        self.assertEqual(messages[3]["content"], "And then?")
        self.assertIn(messages[4]["content"].strip()[:10], answer)
        terminal.enter("/reset")
        terminal.enter("/system")
        self.assertIn("File exists", terminal.enter("/save " + os.path.join(self.state, "saved.json")))
        self.assertEqual(self.saved(terminal, "empty.json"), [])
        self.assertEqual(terminal.close(), 0)

    def test_the_same_conversation_gets_the_same_answer_again(self):
        terminal = self.start()
        terminal.enter("Once upon a time")
        first = self.saved(terminal, "first.json")
        terminal.enter("/retry")
        self.assertEqual(self.saved(terminal, "second.json"), first)
        terminal.close()

    def test_control_c_stops_the_answer_and_not_the_program(self):
        terminal = self.start("-", "--ignore-eos", "--max-tokens", "100000")
        terminal.type("Once upon a time\r")
        terminal.expect(r"time\n[\s\S]*[a-z]")
        terminal.type("\x03")
        terminal.expect(r"\[stopped\]\n" + PROMPT)
        self.assertEqual([message["role"] for message in self.saved(terminal)], ["user", "assistant"])
        terminal.type("not meant")
        terminal.expect("meant")
        terminal.type("\x03")
        terminal.expect(r"\^C\n" + PROMPT)
        self.assertEqual(len(self.saved(terminal, "after.json")), 2)
        self.assertEqual(terminal.close(), 0)

    def test_entries_have_several_lines(self):
        terminal = self.start()
        terminal.type("typed\\\r")
        terminal.expect(r"\.\.\. ")
        terminal.enter("and typed")
        terminal.enter("pressed\x1b\rtoo")
        terminal.enter("\x1b[200~pasted\r\ttext\r\n\x1b[31m\n/reset\x1b[201~")
        contents = [message["content"] for message in self.saved(terminal) if message["role"] == "user"]
        self.assertEqual(contents, ["typed\nand typed", "pressed\ntoo", "pasted\n\ttext\n\x1b[31m\n/reset"])
        terminal.close()

    def test_text_is_utf_8_in_any_locale(self):
        terminal = self.start()
        terminal.enter("naïve 日本 🙂")
        self.assertEqual(self.saved(terminal)[0]["content"], "naïve 日本 🙂")
        terminal.close()

    def test_settings_are_those_of_the_command_line(self):
        terminal = self.start()
        self.assertRegex(terminal.enter("/set"), r"temperature +0 +")
        self.assertIn("0 to 2, not \"9\"", terminal.enter("/set temperature 9"))
        self.assertIn("no setting \"heat\"", terminal.enter("/set heat 1"))
        terminal.enter("/set temperature 0.5")
        terminal.enter("/set max-tokens=2")
        self.assertRegex(terminal.enter("/set"), r"max-tokens +2 [\s\S]*temperature +0\.5")
        self.assertIn("cut off after 2 tokens", terminal.enter("Once"))
        terminal.close()

    def test_commands_are_completed_and_corrected(self):
        terminal = self.start()
        terminal.type("/res\t\r")
        terminal.expect("A new conversation")
        terminal.expect(PROMPT)
        self.assertIn("did you mean /save", terminal.enter("/sve x"))
        self.assertIn("/system", terminal.enter("/help"))
        terminal.type("/exit\r")
        self.assertEqual(terminal.close(), 0)

    def test_the_history_outlives_the_program_for_its_owner_alone(self):
        terminal = self.start()
        terminal.enter("first\x1b\rentry")
        terminal.close()
        path = os.path.join(self.state, "quern", "history")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode), 0o700)
        terminal = self.start()
        terminal.enter("\x1b[A again")
        self.assertEqual(self.saved(terminal)[0]["content"], "first\nentry again")
        terminal.close()

    def test_a_history_that_cannot_be_kept_disturbs_nobody(self):
        with open(os.path.join(self.state, "quern"), "w", encoding="utf-8") as file:
            file.write("no folder")
        terminal = self.start()
        terminal.enter("Once upon a time")
        self.assertEqual(terminal.close(), 0)

    def test_a_message_too_long_is_an_error_of_that_message(self):
        terminal = self.start()
        terminal.enter("/set max-tokens 1")
        self.assertIn("context", terminal.enter("\x1b[200~" + "long " * 2000 + "\x1b[201~"))
        self.assertEqual(self.saved(terminal), [])
        terminal.enter("short")
        terminal.close()

    def test_colours_are_for_terminals_that_want_them(self):
        for environment, wanted in [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]:
            terminal = self.start(**environment)
            terminal.close()
            self.assertEqual(b"\x1b[2m" in terminal.raw, wanted, environment)

    def test_a_model_without_a_template_continues_texts(self):
        terminal = self.start(without_template(self.state), "--max-tokens", "3", "--no-cache")
        self.assertIn("chat is not possible", terminal.text())
        self.assertIn("no command /reset", terminal.enter("/reset"))
        terminal.enter("abc")
        terminal.close()


class Pipe(unittest.TestCase):
    """Without a terminal: text in, text out, and nothing else."""

    def run_quern(self, *arguments, text):
        done = subprocess.run([QUERN, "run", *arguments], input=text.encode(), capture_output=True, timeout=PATIENCE)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def test_standard_input_is_continued(self):
        status, out, err = self.run_quern("-", "--temperature", "0", "--max-tokens", "8", text="Once upon a time")
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out, r"^ [a-z]\w* .*\n$")

    def test_a_message_is_answered(self):
        options = ("-", "--mode", "chat", "--system", "Tell.", "--temperature", "0", "--max-tokens", "8", "--stats")
        status, out, err = self.run_quern(*options, text="A tale of a dog")
        self.assertEqual(status, 0)
        self.assertRegex(out, r"^\w.*\n$")
        self.assertRegex(err, r"^\[\d+ prompt tokens in [\d.]+ s; \d+ tokens, [\d.]+ tokens/s; seed \d+\]\n$")

    def test_chat_without_a_template_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            model = without_template(folder)
            status, out, err = self.run_quern(model, "--mode", "chat", "--no-cache", text="hello")
        self.assertEqual((status, out), (1, ""))
        self.assertIn("chat is not possible", err)


if __name__ == "__main__":
    unittest.main()
