"""A stand-in of the hub's HTTP on loopback, as far as a push needs it: what is pushed lies in a folder afterwards."""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOKEN = "hf_standin"


class Hub(ThreadingHTTPServer):
    """Attributes:
    folder: Of the repositories, `folder/owner/name/file`.
    commits: (repository, message, names of the files) in their order.
    refused: Paths that are answered by a status of 500.
    """

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.commits, self.refused = folder, [], []
        self.objects: dict[str, bytes] = {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def commit(self, repository: str, lines: list[dict]) -> None:
        (message,) = [line["value"]["summary"] for line in lines if line["key"] == "header"]
        names = []
        for line in lines:
            if line["key"] in ("file", "lfsFile"):
                value = line["value"]
                content = self.objects[value["oid"]] if line["key"] == "lfsFile" else base64.b64decode(value["content"])
                path = self.folder / repository / value["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                names.append(value["path"])
        self.commits.append((repository, message, sorted(names)))


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _answer(self, content: dict, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _read(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_POST(self):
        body, path = self._read(), self.path.partition("?")[0]
        if any(part in path for part in self.server.refused):
            return self._answer({"error": "out of order"}, 403)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer({"error": "Invalid username or password."}, 401)
        if path == "/api/repos/create":
            name = json.loads(body)["name"]
            owner = json.loads(body).get("organization") or "someone"
            return self._answer({"name": f"{owner}/{name}", "url": f"{self.server.url}/{owner}/{name}"})
        if path == "/api/validate-yaml":
            return self._answer({"warnings": [], "errors": []})
        if match := re.fullmatch(r"/api/models/(.+)/preupload/\w+", path):
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            return self._answer({"files": files})
        if path.endswith(".git/info/lfs/objects/batch"):
            objects = [
                entry | {"actions": {"upload": {"href": f"{self.server.url}/objects/{entry['oid']}"}}}
                for entry in json.loads(body)["objects"]
            ]
            return self._answer({"transfer": "basic", "objects": objects})
        if match := re.fullmatch(r"/api/models/(.+)/commit/\w+", path):
            self.server.commit(match[1], [json.loads(line) for line in body.splitlines()])
            oid = f"{len(self.server.commits):040x}"
            return self._answer({"commitUrl": f"{self.server.url}/{match[1]}/commit/{oid}", "commitOid": oid})
        return self._answer({"error": f"the stand-in knows no {path}"}, 404)

    def do_PUT(self):
        content = self._read()
        oid = self.path.rpartition("/")[2]
        assert hashlib.sha256(content).hexdigest() == oid
        self.server.objects[oid] = content
        self._answer({})

    def do_GET(self):
        self._answer({"error": f"the stand-in knows no {self.path}"}, 404)


@contextmanager
def serving(folder: Path):
    """A hub for as long as the block."""
    hub = Hub(folder)
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
