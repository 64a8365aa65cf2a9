#!/usr/bin/env python3
"""Holds the sources against the plan of rooms.

    tests/house/check.py BUILD_FOLDER [ROOM...]    the whole house, or the faults of some rooms alone

Arrows only go down: a file uses the rooms that rooms.txt lists for its own room, in its includes and in the symbols of its
object, and no files use each other in a circle. The objects are read with nm, so a circle through a header that is never
called does not count, and a call without an include does. A room, a file and a struct stay small, and a comment names no
source that there is not. open.txt lists the faults that stand from before the plan: these faults may shrink and go, and a
line that is no fault any more has to go, too. Exit code 0: the plan holds but for them; 1: each other fault was printed.
"""

import collections
import pathlib
import re
import subprocess
import sys

HOUSE = pathlib.Path(__file__).resolve().parent
ROOT = HOUSE.parents[1]
LARGEST_ROOM = 30  # sources
LONGEST_FILE = 600  # lines
LARGEST_STRUCT = 25  # fields; the fields of a struct within it are that struct's
FOREIGN_HEADERS = {"sysexits.h"}  # that comments name

def plan():
    rooms = {}
    for line in (HOUSE / "rooms.txt").read_text().splitlines():
        line = line.partition("#")[0].strip()
        if line:
            room, _, below = line.partition(":")
            rooms[room] = set(below.split())
    return rooms


def sources(sides=("common", "supervisor", "worker")):
    for side in sides:
        yield from sorted(str(path.relative_to(ROOT)) for path in (ROOT / side).rglob("*.[ch]"))


def room_of(path):
    return str(pathlib.PurePosixPath(path).parent)


def includes(path):
    return re.findall(r'^#include "([^"]+)"', (ROOT / path).read_text(), re.MULTILINE)


def objects(build):
    """Each source of ours with its object and the library that it lies in."""
    for path in sorted(pathlib.Path(build).glob("CMakeFiles/*.dir/**/*.c.o")):
        library, source = str(path.relative_to(build))[len("CMakeFiles/") : -len(".o")].split(".dir/", 1)
        if (ROOT / source).exists():
            yield source, path, library


def symbols(path):
    defined, wanted = set(), set()
    listing = subprocess.run(["nm", "--format=posix", str(path)], capture_output=True, text=True, check=True).stdout
    for line in listing.splitlines():
        name, kind = line.split()[:2]
        if kind == "U":
            wanted.add(name)
        elif kind.isupper():
            defined.add(name)
    return defined, wanted


def nearest(owners, source, library):
    """The file that defines a name for source: in its own library first, then on its own side (two programs may use one
    name)."""
    same = [other for other, of in owners if of == library]
    side = [other for other, _ in owners if other.split("/")[0] in (source.split("/")[0], "common")]
    return (same or side or [other for other, _ in owners])[0]


def calls(build):
    """{source: {source that it calls: names}}"""
    owners, wants, library_of = collections.defaultdict(list), {}, {}
    for source, path, library in objects(build):
        defined, wants[source] = symbols(path)
        library_of[source] = library
        if not source.endswith("/main.c"):
            for name in defined:
                owners[name].append((source, library))
    graph = {}
    for source, names in wants.items():
        graph[source] = collections.defaultdict(set)
        for name in names:
            if name in owners:
                graph[source][nearest(owners[name], source, library_of[source])].add(name)
        graph[source].pop(source, None)
    return graph


def circles(graph):
    """Tarjan's strongly connected components of more than one node."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            component = set()
            while not component or node not in component:
                component.add(stack.pop())
            if len(component) > 1:
                found.append(component)

    for node in graph:
        if node not in index:
            visit(node)
    return found


def faults_of_rooms(rooms):
    count = collections.Counter()
    for path in sources():
        count[room_of(path)] += path.endswith(".c")
        if room_of(path) not in rooms:
            yield room_of(path), f"{path} lies in a room that rooms.txt does not list"
    for room, number in count.items():
        if number > LARGEST_ROOM:
            yield room, f"{room}/ has {number} sources; {LARGEST_ROOM} are the most"


def faults_of_lengths():
    for path in [*sources(), *sources(["tests"])]:
        lines = len((ROOT / path).read_text().splitlines())
        if lines > LONGEST_FILE:
            yield room_of(path), f"{path} has {lines} lines; {LONGEST_FILE} are the most"


def structs(text):
    """Each named struct of a source with the number of its fields."""
    text = re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\])*"', "", text, flags=re.DOTALL)
    for start in re.finditer(r"\bstruct (\w+) \{", text):
        depth, fields, place = 1, 0, start.end()
        while depth:
            depth += (text[place] in "{(") - (text[place] in "})")
            fields += depth == 1 and text[place] in ";,"
            place += 1
        yield start[1], fields


def faults_of_structs():
    for path in sources():
        for name, fields in structs((ROOT / path).read_text()):
            if fields > LARGEST_STRUCT:
                yield room_of(path), f"{path}: struct {name} has {fields} fields; {LARGEST_STRUCT} are the most"


def faults_of_comments():
    """Sources that a comment names and that there are no more."""
    known = set(sources())
    names = {pathlib.PurePosixPath(path).name for path in known} | FOREIGN_HEADERS
    for path in sources():
        for comment in re.findall(r"/\*.*?\*/", (ROOT / path).read_text(), re.DOTALL):
            for name in re.findall(r"(?<![\w./])[\w/-]+\.[ch]\b", comment):
                if name not in names and not any(other.endswith("/" + name) or other == name for other in known):
                    yield room_of(path), f"{path}: a comment names {name}, which there is not"


def faults_of_arrows(rooms, graph):
    for path in sources():
        for other in includes(path):
            if room_of(other) != room_of(path) and room_of(other) not in rooms.get(room_of(path), ()):
                yield room_of(path), path, other, f"{path} includes {other}, of a room that {room_of(path)} may not use"
    for path, below in graph.items():
        for other, names in below.items():
            if room_of(other) != room_of(path) and room_of(other) not in rooms.get(room_of(path), ()):
                yield room_of(path), path, other, f"{path} calls {', '.join(sorted(names))} of {other}, a room that it may not use"


def faults_of_circles(graph, excused):
    for circle in circles(graph):
        if not any(circle <= known for known in excused):
            ties = [
                f"    {path} -> {other}: {', '.join(sorted(graph[path][other]))}"
                for path in sorted(circle)
                for other in sorted(circle & set(graph[path]))
            ]
            for room in {room_of(path) for path in circle}:
                yield room, "\n".join([f"a circle of {len(circle)} files: {', '.join(sorted(circle))}", *ties])


def read_open():
    """The arrows and the circles that open.txt excuses."""
    lines = [line.partition("#")[0].split() for line in (HOUSE / "open.txt").read_text().splitlines()]
    arrows = {tuple(words[1:]) for words in lines if words and words[0] == "arrow"}
    return arrows, [set(words[1:]) for words in lines if words and words[0] == "circle"]


def main(build, wanted):
    rooms, graph = plan(), calls(build)
    if not graph:
        sys.exit(f"{build} has no objects of ours: build it first")
    arrows, known = read_open()
    found, met = [*faults_of_rooms(rooms), *faults_of_lengths(), *faults_of_structs(), *faults_of_comments()], set()
    for room, path, other, text in faults_of_arrows(rooms, graph):
        met.add((path, other))
        if (path, other) not in arrows:
            found.append((room, text))
    found += faults_of_circles(graph, known)
    found += [("tests/house", f"open.txt: there is no arrow {' '.join(gone)} any more") for gone in sorted(arrows - met)]
    present = circles(graph)
    for circle in known:
        tied = set().union(*(other for other in present if other <= circle))
        for gone in sorted(circle - tied):
            found.append(("tests/house", f"open.txt: {gone} stands in no circle any more"))
    told = dict.fromkeys(text for room, text in found if not wanted or room in wanted)
    figures = f"{len(graph)} units, {sum(map(len, present))} in {len(present)} circles, {len(met)} open arrows"
    print("\n".join([*told, f"{figures}, {len(told)} faults"]))
    return 1 if told else 0


if __name__ == "__main__":
    sys.setrecursionlimit(10000)
    sys.exit(main(sys.argv[1], set(sys.argv[2:])))
