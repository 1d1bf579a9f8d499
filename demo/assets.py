"""What the browser gets of the studio: markup and style in the page itself, scripts as modules and pictures from
a route of ours."""

from __future__ import annotations

import gzip
import hashlib
import html
import json
import re
from pathlib import Path, PurePosixPath

from rcssmin import cssmin
from rjsmin import jsmin
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo.words import word

STUDIO = Path(__file__).resolve().parent / "studio"
SCRIPTS_PATH = "/rearview/studio"
SHARED = "shared/"
FIRST_STYLE = f"{SHARED}colours.css"
FOREVER = "public, max-age=31536000, immutable"
MEDIA_TYPES = {".js": "text/javascript", ".webp": "image/webp"}
EVENTS = ("renew", "apply")
"""What the studio triggers for Gradio, with `studio.trigger`."""

_PLACE = re.compile(r"\[\[([\w./]+)\]\]")


def markup(name: str = "studio.html") -> str:
    """The HTML file called `name`, with `[[room/other.html]]` and `[[path.of.a.word]]` filled in."""

    def filled(found: re.Match[str]) -> str:
        path = found[1]
        return markup(path).rstrip("\n") if path.endswith(".html") else html.escape(word(path))

    return _PLACE.sub(filled, (STUDIO / name).read_text(encoding="utf-8"))


def style() -> str:
    """All style sheets of the studio as one: the colours, what rooms share, then the rooms, which may go against it."""
    sheets = _files("*.css")
    order = sorted(sheets, key=lambda name: (name != FIRST_STYLE, _is_in_a_room(name), name))
    return str(cssmin("\n".join(sheets[name].decode() for name in order)))


def scripts() -> dict[str, bytes]:
    """The studio's modules by their names, such as `wire/wire.js`; those of others begin with `vendor/`."""
    return _files("*.js")


def served() -> dict[str, bytes]:
    """What has an address of its own: the modules, without comments and needless spaces, and the pictures."""
    small = {name: str(jsmin(content.decode())).encode() for name, content in scripts().items()}
    return small | _files("*.webp")


def _is_in_a_room(name: str) -> bool:
    return "/" in name and not name.startswith(SHARED)


def _files(pattern: str) -> dict[str, bytes]:
    return {path.relative_to(STUDIO).as_posix(): path.read_bytes() for path in sorted(STUDIO.rglob(pattern))}


def scripts_version(files: dict[str, bytes]) -> str:
    """A name for just these files: it stands in their address, so that browsers may keep them for ever."""
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(name.encode() + b"\0" + content + b"\0")
    return digest.hexdigest()[:16]


def script_address(name: str) -> str:
    """Where the module `name` is to be had, from the app's own address on."""
    return f"{SCRIPTS_PATH.lstrip('/')}/{scripts_version(served())}/{name}"


def page(name: str, script: str) -> str:
    """A page two folders below the app's address, also behind a proxy's prefix: the HTML file `name` with its module
    `script`."""
    return markup(name).replace(
        "<!-- script -->", f'<script type="module" src="../../{script_address(script)}"></script>'
    )


def starter() -> str:
    """The script that Gradio runs beside the studio's markup: it fetches the modules, also behind a proxy's prefix, and
    what begins a first visit when the rest is there."""
    main, welcome = script_address("main.js"), script_address("recording/welcome.js")
    return (
        # A component has those events alone that stand in its script in quotes.
        f"// {', '.join(json.dumps(event) for event in EVENTS)}\n"
        "const page = new URL(window.location.href);\n"
        "const { hash } = page;\n"
        'page.search = page.hash = "";\n'
        'if (!page.pathname.endsWith("/")) page.pathname += "/";\n'
        f"const from = (name) => import(new URL(name, page));\n"
        f'from("{main}").then(async ({{ start }}) => {{\n'
        "  const studio = start({ element, props, trigger });\n"
        f'  (await from("{welcome}")).welcome(studio, hash);\n'
        "});\n"
    )


def well_starter() -> str:
    """The script that Gradio runs beside the well of a picture to be like: it fetches the well's module, once the
    studio is there."""
    return (
        "const page = new URL(window.location.href);\n"
        'page.search = page.hash = "";\n'
        'if (!page.pathname.endsWith("/")) page.pathname += "/";\n'
        f'const well = import(new URL("{script_address("drawing/like.js")}", page));\n'
        "const begin = () => {\n"
        "  if (!window.rearview) setTimeout(begin, 50);\n"
        "  else well.then(({ createWell }) => createWell(element, window.rearview));\n"
        "};\n"
        "begin();\n"
    )


def routes(taken_off: str = "") -> list[Route]:
    """Where modules and pictures are to be had; `taken_off` is what a proxy takes off the start of each path."""
    files = served()
    packed = {name: gzip.compress(content, mtime=0) for name, content in files.items() if name.endswith(".js")}
    version = scripts_version(files)

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        if request.path_params["version"] != version or name not in files:
            return Response("There is no such file. Reload the page.", 404)
        kind = MEDIA_TYPES[PurePosixPath(name).suffix]
        headers = {"cache-control": FOREVER, "vary": "accept-encoding"}
        if name in packed and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(packed[name], media_type=kind, headers={**headers, "content-encoding": "gzip"})
        return Response(files[name], media_type=kind, headers=headers)

    path = SCRIPTS_PATH.removeprefix(taken_off) + "/{version}/{name:path}"
    return [Route(path, file, name="rearview-studio")]
