"""Says in a sentence why pip could not install something; pip itself lists every version that there is.

pip install … 2>&1 | python pip_failure.py
"""

import platform
import re
import sys

LONGEST = 300  # characters of a line of pip's that is shown as it is
BROKEN = re.compile(r"connection broken by '(.+)': \S+$", re.MULTILINE)
UNFETCHED = re.compile(r"Could not fetch (URL .+?)(?: - skipping)?$", re.MULTILINE)


def why(said: str, python: str) -> str:
    """The reason in what pip ``said``, as pip 23 to 26 word it, run with a ``python`` such as 3.11.2."""
    # A file at hand is read before it is refused; of what an index has, pip says what it has ignored.
    if refused := re.search(r"Package '(.+?)' requires a different Python: \S+ not in '(.+?)'", said):
        return _other_python(*refused.groups(), python)
    if missing := re.search(r"No matching distribution found for (\S+)", said):
        return _no_match(missing[1], said, python)
    errors = [line for line in said.splitlines() if line.upper().startswith("ERROR")]
    return "\n".join(line[:LONGEST] for line in (errors or said.strip().splitlines())[-3:])


def _other_python(pin: str, wanted: str, python: str) -> str:
    return f"{pin} needs Python {wanted}, and this is Python {python}. Another one is taken with make PYTHON=…"


def _no_match(pin: str, said: str, python: str) -> str:
    version = re.escape(pin.partition("==")[2])
    if ignored := re.search(rf"[:;] {version} Requires-Python ([^;\n]+)", said):
        return _other_python(pin, ignored[1].strip(), python)
    if trouble := BROKEN.search(said) or UNFETCHED.search(said):
        cause = re.sub(r"<[^>]*>: ", "", trouble[1])  # the objects' addresses
        return f"{pin} was not found, and a package index did not answer: {cause[:LONGEST]}"
    listed = re.search(r"\(from versions: (.+)\)", said)
    there = listed[1].split(", ") if listed and listed[1] != "none" else []
    newest = f"the last of those that fit is {there[-1]}" if there else "no version of it is there"
    fits = f"Python {python} on {platform.system()} {platform.machine()}"
    return f"{pin} is not to be had for {fits}: {newest}."


if __name__ == "__main__":
    print(why(sys.stdin.read(), platform.python_version()))
