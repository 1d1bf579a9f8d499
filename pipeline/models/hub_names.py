"""What a name of the hub says: a repository, perhaps one file of it, perhaps a revision.

owner/name, owner/name@refs/pr/5, owner/name/folder/file.safetensors, owner/name/file.safetensors@main
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# The hub's own rule for names (huggingface_hub's `validate_repo_id`).
_REPOSITORY = re.compile(r"(?!.*(?:--|\.\.|\.git$))(?=.{1,96}$)\w(?:[\w.-]*\w)?/\w(?:[\w.-]*\w)?", re.ASCII)
_FILE = re.compile(r"(?!.*\.\.)(?:[^/@]+/)*[^/@]+\.safetensors")
# Of git's rule for refs (git check-ref-format) what the hub's refs need.
_REVISION = re.compile(r"(?!.*(?:\.\.|//))\w[\w./-]*\w", re.ASCII)


@dataclass(frozen=True)
class HubName:
    """A repository; one `file` of it by its path there, or empty; and a branch, tag, commit or ref such as
    "refs/pr/5", or `None`: main."""

    repository: str
    file: str = ""
    revision: str | None = None

    def __str__(self) -> str:
        path = f"{self.repository}/{self.file}" if self.file else self.repository
        return f"{path}@{self.revision}" if self.revision else path

    def at(self, revision: str) -> HubName:
        """The same at another revision."""
        return HubName(self.repository, self.file, revision)


def read_name(text: str) -> HubName | None:
    """What `text` names on the hub; `None` where it does not read as a name."""
    path, at, revision = text.partition("@")
    owner, _, rest = path.partition("/")
    name, slash, file = rest.partition("/")
    is_name = (
        _REPOSITORY.fullmatch(f"{owner}/{name}")
        and (not slash or _FILE.fullmatch(file))
        and (not at or _REVISION.fullmatch(revision))
    )
    return HubName(f"{owner}/{name}", file, revision or None) if is_name else None


def is_repository(text: str) -> bool:
    """Whether `text` reads as "owner/name" of a repository, perhaps with a revision."""
    name = read_name(text)
    return name is not None and not name.file


def is_file_name(text: str) -> bool:
    """Whether `text` reads as "owner/name/file.safetensors", perhaps with a revision."""
    name = read_name(text)
    return name is not None and bool(name.file)
