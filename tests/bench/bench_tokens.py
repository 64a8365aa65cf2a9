#!/usr/bin/python3
"""Requests and tokens of related tasks of a fixed scheme, by the server's context, against the plain tasks without any
prompt; and the share of a prompt that is the front of the prompt before.

    bench_tokens.py [TASKS [KINDS]]

Each task teaches a skill of some kilobytes out of twelve kinds; past twenty each new skill takes another's place. The server
counts four bytes a token; a small server holds 4,096 tokens, reply included, and refuses a longer prompt or cuts it without
a word. To compare with an earlier version, run it with AGENTOS_BIN of that build: a task that is not done within LIMIT
seconds counts as not done.
"""

import os
import pathlib
import re
import statistics
import sys
import threading
import time

import measure
from measure import harness

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))

import odd_servers as odd  # noqa: E402

TASKS = int(sys.argv[1]) if len(sys.argv) > 1 else 100
KINDS = int(sys.argv[2]) if len(sys.argv) > 2 else 12
REPLY, LIMIT = 2048, 60
TOLD = "Handle case {} of the list with care and write down how it was done"


class Server(odd.Server):
    def __init__(self, holds, refuses):
        self.holds, self.refuses = holds, refuses
        self.books = threading.Lock()
        self.prompts, self.tokens, self.cut = [], 0, 0
        super().__init__(self.answer)

    def answer(self, connection, request):
        system, task = (message["content"] for message in request.json["messages"])
        asked, reply = (len(system) + len(task)) // 4, self.reply(task)
        with self.books:
            if self.refuses and asked + request.json["max_tokens"] > self.holds:
                text = f"This model's maximum context length is {self.holds} tokens, your messages resulted in {asked} tokens."
                connection.sendall(odd.error("400 Bad", text, code="context_length_exceeded"))
                return
            self.prompts.append(system)
            kept, said = min(asked, self.holds), len(reply) // 4
            self.cut += asked > self.holds
            self.tokens += kept + said
        usage = {"prompt_tokens": kept, "completion_tokens": said}
        connection.sendall(odd.response(odd.completion("Just prose." if asked > self.holds else reply, usage=usage)))

    def reply(self, task):
        case = int(re.search(r"\d+", task)[0])
        steps = " ".join(f"Step {step} of case {case} is done with care." for step in range(130))
        return (
            f"Done.\n\n```agentos\nreward: 1\nreason: the case is handled\nskill:\n  name: case-{case}\n"
            f"  description: How case {case} of the list is handled.\n  body: |\n    {steps}\n```\n"
        )

    def front(self):
        pairs = zip(self.prompts, self.prompts[1:])
        return [len(os.path.commonprefix([a, b])) / min(len(a), len(b)) for a, b in pairs]


def run(name, holds, refuses):
    server = Server(holds, refuses)
    system = harness.System(env={"LLM_BASE_URL": server.url, "LLM_MAX_TOKENS": str(REPLY), "LOG_LEVEL": "error"})
    try:
        system.start()
        plain = 0
        for number in range(TASKS):
            text = TOLD.format(number % KINDS)
            plain += (len(text) + len(server.reply(text))) // 4
            system.add(f"task-{number}", text)
        end = time.monotonic() + LIMIT
        while len(system.done()) < TASKS and time.monotonic() < end:
            time.sleep(0.1)
        measure.say(f"{name}, tasks done", len(system.done()), "tasks", f"of {TASKS}, {server.cut} with a prompt that was cut")
        measure.say(f"{name}, requests", len(server.requests), "requests")
        measure.say(f"{name}, tokens", server.tokens, "tokens", f"{server.tokens / plain:.1f} times the plain tasks and replies")
        front = server.front() or [0]
        below = sum(share < 0.7 for share in front)
        measure.say(f"{name}, common front", 100 * statistics.mean(front), "%", f"least {100 * min(front):.0f} %, {below} below 70 %")
    finally:
        system.destroy()
        server.stop()


def main():
    run("128,000 tokens", 128000, True)
    run("4,096 tokens, refusing", 4096, True)
    run("4,096 tokens, cutting", 4096, False)


if __name__ == "__main__":
    main()
