"""A node that reads more slowly than messages come for it, over a real nats-server (contract section 12): a slow consumer is said,
by the server that gives the node up and by the node that drops messages of its own, and every message comes again."""

import signal

from harness import send_signal, wait_until
from test_bus import make_bus, make_nats  # noqa: F401

EACH, LENGTH = 8, 500_000  # all messages of a subject fit into one question (CONSUMER_BYTES_MAX)


def follow(nats, bus, count):
    """The server has the node's question for messages of each subject."""
    names = [f"slow{number}" for number in range(count)]
    for name in names:
        bus.ask(f"follow agentos.agent.{name}")
    waits = lambda name: nats.ask(f"CONSUMER.INFO.AGENTOS.agent-{name}").get("num_waiting")
    wait_until(lambda: all(waits(name) for name in names), "all subjects are asked for")
    return [f"agentos.agent.{name}" for name in names]


def questions(nats, subjects):
    """How many the server has at most of one subject."""
    return max(nats.ask(f"CONSUMER.INFO.AGENTOS.agent-{subject.split('.')[-1]}")["num_waiting"] for subject in subjects)


def flood(nats, sender, subjects):
    """All of it is in the stream's store."""
    for number, subject in enumerate(subjects, 1):
        sender.ask(f"flood {subject} {EACH} {LENGTH}")
        wait_until(lambda: nats.messages() == number * EACH, f"{number * EACH} messages are in the stream", 60)


def take_all(nats, receiver, count):
    """Each message is acknowledged by its token, so a stream without messages has lost none."""
    receiver.ask("mute")
    for said in [said for said in receiver.heard if said[0] == "arrived"]:
        receiver.ask(f"took {said[1]}")
    wait_until(lambda: nats.messages() == 0, "the stream is empty", 60)
    assert receiver.ask("taken")[1] + len([said for said in receiver.heard if said[0] == "arrived"]) >= count


def test_a_server_that_gives_a_slow_node_up_is_said_and_nothing_is_lost(make_nats, make_bus):  # noqa: F811
    nats = make_nats('write_deadline: "500ms"').start()
    sender, receiver = make_bus(nats.url).connected(), make_bus(nats.url, node="b").connected()
    subjects = follow(nats, receiver, 12)
    send_signal(receiver.pid, signal.SIGSTOP)
    flood(nats, sender, subjects)
    wait_until(lambda: "Slow Consumer Detected" in (nats.folder / "nats.log").read_text(), "the server gives the node up")
    send_signal(receiver.pid, signal.SIGCONT)
    receiver.away("slow consumer")
    receiver.connected()
    take_all(nats, receiver, EACH * len(subjects))


def test_a_node_that_drops_messages_says_that_it_is_a_slow_consumer_and_they_come_again(make_nats, make_bus):  # noqa: F811
    nats = make_nats().start()
    sender, receiver = make_bus(nats.url).connected(), make_bus(nats.url, node="b").connected()
    subjects = follow(nats, receiver, 40)
    send_signal(receiver.process.pid, signal.SIGSTOP)
    flood(nats, sender, subjects)
    send_signal(receiver.process.pid, signal.SIGCONT)
    wait_until(lambda: "a slow consumer: more messages came than could be taken" in receiver.ask("problem")[1], "the node says so")
    take_all(nats, receiver, EACH * len(subjects))
    assert not [said for said in receiver.heard if said[:2] == ["state", False]]
    wait_until(lambda: questions(nats, subjects) == 1, "the questions from before are over, and none follows them", 60)
