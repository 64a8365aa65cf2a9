"""The log (contract sections 10, 11 and 13): its reader can stop nobody, and nobody writes in another's name."""

import os

def standard_descriptors(pid):
    return [os.readlink(f"/proc/{pid}/fd/{number}") for number in range(3)]


def test_closed_standard_descriptors_are_dev_null_and_nothing_else_takes_their_place(make_system, model):
    system = make_system(model=model)
    system.prefix = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    system.start()
    assert standard_descriptors(system.process.pid) == ["/dev/null"] * 3
    system.add("first")
    system.wait_done("first")
