"""Play a document: type its commands as the people in it, and hold what comes against what it shows.

A fenced block of kind `console` holds commands behind a person's prompt (`anna$ `), continued behind `> `, and below
each what it prints. `...` stands for any number of lines. Each person has a shell and a home of their own for the whole
document. What differs from time to time - digests, keys, times, measured figures, places - must only be of the same
kind, and a later command that names a digest of the document means the one that came instead.

`python tests/team/scenario.py docs/team.md` plays the document and writes into it what came.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROMPT = re.compile(r"(?P<who>[a-z]+)\$ (?P<command>.*)")
TOKEN = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d(?:T[\d:]+Z)?)"
    r"|(?P<hex>\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b)"
    r"|(?P<figure>[-+]?\d+(?:\.\d+)?e[-+]?\d+|[-+]?\d+\.\d+|\d{1,3}(?:,\d{3})+"
    r"|\b\d+(?= (?:s|ms|MiB|rows/s|at most)\b)|(?<=process )\d+)"
)
ELLIPSIS = "..."
_END = "that was all"


@dataclass(frozen=True)
class Step:
    """A command of the document.

    Attributes:
        who: types it.
        command: as the document has it.
        shown: the lines below it.
    """

    who: str
    command: str
    shown: tuple[str, ...]


def blocks(text: str) -> list[tuple[str, list[Step]]]:
    """Yield each block's text with its commands."""
    found = []
    for match in BLOCK.finditer(text):
        steps: list[Step] = []
        for line in match[1].splitlines():
            prompt = PROMPT.fullmatch(line)
            if prompt:
                steps.append(Step(prompt["who"], prompt["command"], ()))
            elif line.startswith("> ") and not steps[-1].shown:
                steps[-1] = Step(steps[-1].who, f"{steps[-1].command}\n{line[2:]}", ())
            else:
                steps[-1] = Step(steps[-1].who, steps[-1].command, (*steps[-1].shown, line))
        found.append((match[1], steps))
    return found


@dataclass
class Stage:
    """Where a document is played.

    Attributes:
        folder: holds all that the document names by an absolute path.
        ports: by the document's.
        learned: what came for each digest and time of the document.
        shells: of the people.
    """

    folder: Path
    ports: dict[str, str]
    learned: dict[str, str] = field(default_factory=dict)
    shells: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def play(self, step: Step) -> list[str]:
        """Type a command; give what it printed, with the document's own places."""
        shell = self.shells.get(step.who) or self._shell(step.who)
        assert shell.stdin is not None
        assert shell.stdout is not None
        command = self._real(step.command)
        shell.stdin.write(f"{command}\necho '{_END}'\n")
        shell.stdin.flush()
        lines = []
        for line in shell.stdout:
            if line.rstrip("\n").endswith(_END):
                rest = line.rstrip("\n").removesuffix(_END)
                return [*lines, *([self._as_shown(rest)] if rest else [])]
            lines.append(self._as_shown(line.rstrip()))
        raise AssertionError(f"{step.who}'s shell ended at: {command}")

    def learn(self, shown: tuple[str, ...], came: list[str]) -> list[str] | None:
        """Compare lines with the document's; return them with the document's `...`, or None where they differ."""
        matched: list[str] = []
        rest = list(came)
        skipping = False
        for line in shown:
            if line.strip() == ELLIPSIS:
                skipping = True
                matched.append(line)
                continue
            while True:
                if not rest:
                    return None
                now = rest.pop(0)
                tokens = _same(line, now)
                if tokens is not None:
                    break
                if not skipping:
                    return None
            skipping = False
            self.learned.update(tokens)
            matched.append(now)
        return matched if skipping or not rest else None

    def close(self) -> None:
        """End all shells and what they started."""
        for shell in self.shells.values():
            assert shell.stdin is not None
            shell.stdin.close()
            shell.wait(60)
            assert shell.stdout is not None
            shell.stdout.close()

    def _shell(self, who: str) -> subprocess.Popen[str]:
        home = self.folder / "home" / who
        foreign = ("PREFECT_", "MLFLOW_", "PG", "HEADFRAME_", "GIT_", "XDG_", "VIRTUAL_ENV")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        settings = {
            "HOME": str(home), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}",
            "PREFECT_HOME": str(home / ".prefect"), "OMP_NUM_THREADS": "1", "PYTHONPATH": "",
            "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "init.defaultBranch", "GIT_CONFIG_VALUE_0": "main",
            "GIT_CONFIG_KEY_1": "safe.directory", "GIT_CONFIG_VALUE_1": "*",
            "GIT_AUTHOR_NAME": who, "GIT_AUTHOR_EMAIL": f"{who}@example.org",
            "GIT_COMMITTER_NAME": who, "GIT_COMMITTER_EMAIL": f"{who}@example.org",
        }  # fmt: skip
        self.shells[who] = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=REPOSITORY if who == "ops" else home, env={**kept, **settings}, text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return self.shells[who]

    def now(self, command: str) -> str:
        """Return a command with the digests and times that came instead of the document's."""
        for document, real in self.learned.items():
            command = command.replace(document, real)
        return command

    def _real(self, command: str) -> str:
        command = self.now(command)
        for document, real in self.ports.items():
            command = re.sub(rf"\b{document}\b", real, command)
        for place in ("/srv/", "/home/"):
            command = command.replace(place, f"{self.folder}{place}")
        return command

    def _as_shown(self, line: str) -> str:
        for document, real in self.ports.items():
            line = re.sub(rf"(?<=:){real}\b", document, line)
        return line.replace(str(self.folder), "")


def _same(shown: str, came: str) -> dict[str, str] | None:
    """Return what stands for each digest and time of a line; None where the lines differ in anything else."""
    if TOKEN.sub(_kind, shown.rstrip()) != TOKEN.sub(_kind, came.rstrip()):
        return None
    pairs = zip(TOKEN.finditer(shown), TOKEN.finditer(came), strict=True)
    return {old[0]: new[0] for old, new in pairs if old.lastgroup in ("hex", "time") and old[0] != new[0]}


def _kind(token: re.Match[str]) -> str:
    return f"<{token.lastgroup}>"


def perform(document: Path, stage: Stage) -> tuple[str, list[str]]:
    """Play a document to its end; a lone `...` below a command asks for all that it prints.

    Returns:
        The document with what came, and what was otherwise than shown.
    """
    text = document.read_text(encoding="utf-8")
    for who in {step.who for _, steps in blocks(text) for step in steps}:
        (stage.folder / "home" / who).mkdir()
    wrong = []
    for block, steps in blocks(text):
        lines = []
        for step in steps:
            came = stage.play(step)
            matched = stage.learn(step.shown, came)
            if matched is None:
                output = "\n".join(came)
                shown = "\n".join(step.shown)
                wrong.append(f"{step.who}$ {step.command}\n--- shown\n{shown}\n--- came\n{output}")
            first, *more = stage.now(step.command).split("\n")
            lines += [f"{step.who}$ {first}", *(f"> {line}".rstrip(" ") if line else "> " for line in more)]
            lines += came if matched is None or step.shown == (ELLIPSIS,) else matched
        text = text.replace(f"```console\n{block}```", "```console\n" + "".join(f"{line}\n" for line in lines) + "```")
    return text, wrong


def stage_in(folder: Path, *ports: str) -> Stage:
    """Make a place to play in, which every user of the machine may enter."""
    folder.chmod(0o755)
    for name in ("srv", "home"):
        (folder / name).mkdir()
    return Stage(folder, dict(zip(("5000", "5432", "8080"), ports, strict=True)))


def main() -> int:
    """Play a document and write into it what came."""
    document = Path(sys.argv[1])
    folder = Path(tempfile.mkdtemp(prefix="headframe-scenario-"))
    stage = stage_in(folder, *sys.argv[2:5])
    try:
        text, wrong = perform(document, stage)
        document.write_text(text, encoding="utf-8")
    finally:
        stage.close()
        down = [sys.executable, str(REPOSITORY / "infra" / "team"), "down", str(folder / "srv" / "headframe")]
        subprocess.run(down, check=False, capture_output=True)
        if "--keep" not in sys.argv:
            shutil.rmtree(folder)
    sys.stdout.write("\n\n".join(wrong) + "\n" if wrong else "as it was shown\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
