"""qglow completion: a shell's completion script, made from the parser itself."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import NamedTuple

EXAMPLES = """examples:
  eval "$(qglow completion bash)"           in ~/.bashrc
  eval "$(qglow completion zsh)"            in ~/.zshrc, below compinit
  qglow completion fish | source            in ~/.config/fish/config.fish
"""


class Option(NamedTuple):
    """names: as they are typed. choices: what may follow; files may where takes_value is set and there are none."""

    names: tuple[str, ...]
    help: str
    takes_value: bool
    choices: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=tuple(SCRIPTS))


def run(options: argparse.Namespace) -> int:
    from .main import build_parser  # NOTE: the parser holds this command too

    print(SCRIPTS[options.shell](*commands_of(build_parser())), end="")
    return 0


def commands_of(parser: argparse.ArgumentParser) -> tuple[dict[str, str], dict[str, list[Option]]]:
    """Of a parser with commands: what each is for, and its options and choices of arguments."""
    [commands] = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    summaries = {a.dest: str(a.help) for a in commands._choices_actions}
    return summaries, {name: [_option(a) for a in sub._actions] for name, sub in commands.choices.items()}


def _option(action: argparse.Action) -> Option:
    choices = tuple(map(str, action.choices or ()))
    said = " ".join((action.help or "").split()) if action.help != argparse.SUPPRESS else ""
    return Option(tuple(action.option_strings), said, action.nargs != 0, choices)


def _bash(summaries: Mapping[str, str], options: Mapping[str, list[Option]]) -> str:
    """Words for COMPREPLY: commands, then the options of one, the choices of an option, or files."""
    values = [
        f"    {name}:{n}) words={' '.join(o.choices)!r};;"
        for name, found in options.items() for o in found for n in o.names if o.choices
    ]  # fmt: skip
    cases = [f"    {name}:-*) words={' '.join(n for o in found for n in o.names)!r};;"
             for name, found in options.items()]  # fmt: skip
    cases += [f"    {name}:*) words={' '.join(o.choices)!r};;" for name, found in options.items() for o in found
              if o.choices and not o.names]  # fmt: skip
    return "\n".join((
        "_qglow() {",
        '  local current="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" words=""',
        '  if [ "$COMP_CWORD" -eq 1 ]; then',
        f"    words={' '.join(summaries)!r}",
        "  else",
        '    case "${COMP_WORDS[1]}:$before" in',
        *values,
        '    *) case "${COMP_WORDS[1]}:$current" in',
        *cases,
        "    esac;; esac",
        "  fi",
        '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
        "}",
        "complete -o default -F _qglow qglow",
        "",
    ))  # fmt: skip


def _zsh(summaries: Mapping[str, str], options: Mapping[str, list[Option]]) -> str:
    return "autoload -U +X bashcompinit && bashcompinit\n" + _bash(summaries, options)


def _fish(summaries: Mapping[str, str], options: Mapping[str, list[Option]]) -> str:
    lines = [f"complete -c qglow -n __fish_use_subcommand -f -a {name} -d {_quoted(said)}"
             for name, said in summaries.items()]  # fmt: skip
    for name, found in options.items():
        where = f"complete -c qglow -n '__fish_seen_subcommand_from {name}'"
        for o in found:
            flags = [f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in o.names]
            values = f"-a {_quoted(' '.join(o.choices))}" if o.choices else ""
            if flags or values:
                needs = ["-r"] if flags and o.takes_value else []
                exact = ["-f"] if o.choices else []
                said = [values] if values else []
                lines.append(" ".join([where, *flags, *needs, *exact, *said, "-d", _quoted(o.help)]))
    return "\n".join((*lines, ""))


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SCRIPTS = {"bash": _bash, "zsh": _zsh, "fish": _fish}
