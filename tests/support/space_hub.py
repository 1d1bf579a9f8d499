"""The side of the Hugging Face hub that a Space is pushed to, on loopback and in memory."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from tests.support.weights.hub_layout import on_loopback

TOKEN = "hf_writes"
READER = "hf_reads"
LARGE = 1_000_000
"""From here on a file goes to the large file storage."""

Answer = tuple[int, Any]


@dataclass
class FakeSpace:
    """A Space as the hub keeps it."""

    hardware: str
    private: bool
    variables: dict[str, str]
    files: dict[str, bytes] = field(default_factory=lambda: {".gitattributes": b"*.bin filter=lfs\n"})
    commits: list[str] = field(default_factory=list)
    sleep_seconds: int | None = None


@dataclass
class SpaceHub:
    """Its Spaces by name, and what was asked of it."""

    url: str = ""
    spaces: dict[str, FakeSpace] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    paid_hardware: tuple[str, ...] = ()
    refusal: int = 402

    def answer(self, method: str, path: str, token: str, body: bytes) -> Answer:
        """Status and content for a request."""
        self.asked.append(f"{method} {path}")
        if path.startswith("/storage/"):
            self.stored[path.removeprefix("/storage/")] = body
            return 200, {}
        if token not in (TOKEN, READER):
            return 401, {"error": "Invalid credentials in Authorization header"}
        if token == READER and method != "GET":
            return 403, {"error": "this token may not write"}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path.endswith(".git/info/lfs/objects/batch"):
            return 200, {"transfer": "basic", "objects": [self._action(each) for each in json.loads(body)["objects"]]}
        owner, name, *rest = path.removeprefix("/api/spaces/").split("/")
        space = self.spaces.get(f"{owner}/{name}")
        if space is None:
            return 404, {"error": "Repository not found"}
        return self._of_space(f"{owner}/{name}", space, method, rest, body)

    def _create(self, asked: dict[str, Any]) -> Answer:
        if asked["hardware"] in self.paid_hardware:
            return self.refusal, {"error": "payment required"}
        name = f"{asked['organization']}/{asked['name']}"
        variables = {each["key"]: each["value"] for each in asked["variables"]}
        made = FakeSpace(asked["hardware"], asked.get("visibility") == "private", variables)
        made.sleep_seconds = asked.get("sleepTimeSeconds")
        self.spaces[name] = made
        return 200, {"url": f"{self.url}/spaces/{name}"}

    def _action(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["oid"] in self.stored:
            return asked
        return {**asked, "actions": {"upload": {"href": f"{self.url}/storage/{asked['oid']}"}}}

    def _of_space(self, name: str, space: FakeSpace, method: str, rest: list[str], body: bytes) -> Answer:
        runtime = {"stage": "RUNNING", "hardware": {"current": space.hardware, "requested": space.hardware}}
        if rest == ["variables"]:
            asked = json.loads(body) if body else {}
            if method == "POST":
                space.variables[asked["key"]] = asked["value"]
            elif method == "DELETE":
                del space.variables[asked["key"]]
            return 200, {key: {"value": value} for key, value in space.variables.items()}
        if rest == ["hardware"]:
            space.hardware = json.loads(body)["flavor"]
            return 200, runtime
        if rest == ["sleeptime"]:
            space.sleep_seconds = json.loads(body)["seconds"]
            return 200, runtime
        if rest == ["runtime"]:
            return 200, runtime
        if rest[:1] == ["tree"]:
            return 200, [_entry(path, content) for path, content in space.files.items()]
        if rest[:1] == ["preupload"]:
            files = json.loads(body)["files"]
            return 200, {"files": [_mode(each, space.files.get(each["path"])) for each in files]}
        if rest[:1] == ["commit"]:
            return self._commit(name, space, [json.loads(line) for line in body.splitlines()])
        return 200, {"id": name, "sha": "0" * 40, "siblings": []}

    def _commit(self, name: str, space: FakeSpace, lines: list[dict[str, Any]]) -> Answer:
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                space.commits.append(value["summary"])
            elif line["key"] == "file":
                space.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                content = self.stored[value["oid"]]
                assert hashlib.sha256(content).hexdigest() == value["oid"]
                space.files[value["path"]] = content
            else:
                del space.files[value["path"]]
        return 200, {"commitUrl": f"{self.url}/spaces/{name}/commit/1", "commitOid": "1" * 40}


def _entry(path: str, content: bytes) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": len(content), "oid": _git_id(content)}


def _mode(asked: dict[str, Any], there: bytes | None) -> dict[str, Any]:
    mode = "lfs" if asked["size"] >= LARGE else "regular"
    answer = {"path": asked["path"], "uploadMode": mode, "shouldIgnore": False}
    if there is None:
        return answer
    return {**answer, "oid": hashlib.sha256(there).hexdigest() if mode == "lfs" else _git_id(there)}


def _git_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def served_space_hub() -> Iterator[SpaceHub]:
    """A hub that Spaces can be pushed to, with none of them yet."""
    hub = SpaceHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self._body()
            token = self.headers.get("authorization", "").removeprefix("Bearer ")
            status, content = hub.answer(self.command, urlsplit(self.path).path, token, body)
            answer = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            if status == 404:
                self.send_header("x-error-code", "RepoNotFound")
            if status >= 400:
                self.send_header("x-error-message", content["error"])
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_DELETE = _serve

        def _body(self) -> bytes:
            if self.headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("content-length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def log_message(self, *_: Any) -> None:
            pass

    with on_loopback(Handler) as hub.url:
        yield hub
