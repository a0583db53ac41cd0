"""A local HTTP server that speaks what the two archives speak, and misbehaves on request.

Cell Types Database: RMA queries and well-known-file downloads. DANDI: listing in pages, asset metadata, the redirect to a
signed address that expires, byte ranges.
"""

import functools
import hashlib
import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

FAULTS = ("500", "503", "timeout", "reset", "truncated", "garbage")
bytes_of = functools.cache(Path.read_bytes)


@dataclass
class Misbehaviour:
    """Which requests go wrong: a share of all, up to a number, and every one whose path matches `always`."""

    share: float = 0.0
    most: int = 10**9
    kinds: tuple[str, ...] = FAULTS
    always: str = ""
    stall_s: float = 1.0


@dataclass
class Archives:
    """What is served.

    `cells`, `sweeps`, `features`: rows of the Cell Types Database; `files`: NWB file of each specimen; `assets`: path in the
    dandiset and file of each session. `log` holds every request: path, range, answer, bytes sent.
    """

    cells: list[dict[str, Any]] = field(default_factory=list)
    sweeps: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    features: list[dict[str, Any]] = field(default_factory=list)
    files: dict[int, Path] = field(default_factory=dict)
    assets: dict[str, Path] = field(default_factory=dict)
    latency_s: float = 0.0
    page_size: int = 2
    ranges: bool = True
    signed_for: int = 10**9
    wrong_checksums: int = 0
    misbehaviour: Misbehaviour = field(default_factory=Misbehaviour)

    def __post_init__(self) -> None:
        self.log: list[tuple[str, str, int, int]] = []
        self.n_faults = 0
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()
        self.dice = random.Random(1)
        self.uses: Counter[str] = Counter()

    def add_cell(
        self, specimen: int, file: Path, steps: Sequence[Any] = (), line: str = "Sst-IRES-Cre", **columns: Any
    ) -> None:
        """A cell of the Cell Types Database, its file, its table of sweeps and its row of features (other `columns`)."""
        cell = {"specimen__id": specimen, "line_name": line, "donor__species": "Mus musculus", "donor__id": specimen}
        self.cells.append(cell | {k: columns.pop(k) for k in tuple(columns) if k.startswith("donor__")})
        self.features.append({"specimen_id": specimen, **columns})
        self.files[specimen] = file
        self.sweeps[specimen] = [
            {"specimen_id": specimen, "sweep_number": s.number, "stimulus_name": "Long Square", "stimulus_duration": 1.0,
             "stimulus_start_time": s.onset_s, "stimulus_absolute_amplitude": s.stimulus_pa, "num_spikes": s.n_spikes or None}
            for s in steps
        ]  # fmt: skip

    def start(self) -> str:
        """Serve in a thread; returns the address."""
        handler = type("Bound", (_Handler,), {"archives": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that go away
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def stop(self) -> None:
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()

    def fault(self, path: str) -> str:
        """What goes wrong with this request, empty if nothing."""
        m = self.misbehaviour
        with self.lock:
            if m.always and re.search(m.always, path):
                self.n_faults += 1
                return m.kinds[0]
            if m.share and self.n_faults < m.most and self.dice.random() < m.share:
                self.n_faults += 1
                return self.dice.choice(m.kinds)
        return ""

    def paths(self, matching: str = "") -> list[str]:
        """Paths asked for so far."""
        with self.lock:
            return [path for path, *_ in self.log if re.search(matching, path)]


class _Handler(BaseHTTPRequestHandler):
    archives: Archives
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def do_GET(self) -> None:
        a = self.archives
        with a.lock:
            a.in_flight += 1
            a.most_in_flight = max(a.most_in_flight, a.in_flight)
        try:
            time.sleep(a.latency_s)
            self.respond()
        finally:
            with a.lock:
                a.in_flight -= 1

    def respond(self) -> None:
        a = self.archives
        kind = a.fault(self.path)
        if kind in ("500", "503"):
            self.send(int(kind), b"busy", {"Retry-After": "0"} if kind == "503" else {})
        elif kind in ("timeout", "reset"):
            time.sleep(a.misbehaviour.stall_s if kind == "timeout" else 0)
            self.close_connection = True
        else:
            url = urlsplit(self.path)
            self.answer(url.path, parse_qs(url.query), kind)

    def answer(self, path: str, query: dict[str, list[str]], kind: str) -> None:
        a = self.archives
        if path == "/api/v2/data/query.json":
            rows = self.rma(unquote(query["q"][0]))
            self.send_json({"success": True, "id": 0, "start_row": 0, "num_rows": len(rows), "msg": rows}, kind)
        elif found := re.match(r"/api/v2/well_known_file_download/(\d+)$", path):
            self.send_file(a.files[int(found.group(1))], kind)
        elif path == "/api/dandisets/000020/versions/0.210913.1639/assets/":
            self.listing(int(query.get("page", ["1"])[0]), kind)
        elif found := re.match(r"/api/assets/[0-9-]*?0*(\d+)/download/$", path):
            a.uses["signature"] += 1
            signed = f"/blobs/{found.group(1)}?X-Amz-Signature={a.uses['signature']}"
            self.send(500, b"") if kind else self.send(302, b"", {"Location": signed})
        elif found := re.match(r"/api/assets/[0-9-]*?0*(\d+)/$", path):
            digest = hashlib.sha256(bytes_of(self.asset(found.group(1)))).hexdigest()
            self.send_json({"digest": {"dandi:sha2-256": digest}}, kind)
        elif found := re.match(r"/blobs/(\d+)$", path):
            signature = query["X-Amz-Signature"][0]
            with a.lock:
                a.uses[signature] += 1
                expired = a.uses[signature] > a.signed_for
            if expired:
                self.send(403, b"Request has expired")
            else:
                self.send_file(self.asset(found.group(1)), kind)
        else:
            self.send(404, b"not found")

    def rma(self, q: str) -> list[dict[str, Any]]:
        """The rows of an RMA query, as far as AllenSDK asks for cells."""
        a = self.archives
        found = re.search(r"\[(?:specimen_id|id)\$eq(\d+)\]", q)
        specimen = int(found.group(1)) if found else 0
        match re.match(r"model::(\w+)", q).group(1):  # type: ignore[union-attr]
            case "ApiCellTypesSpecimenDetail":
                return a.cells
            case "EphysFeature":
                return a.features
            case "EphysSweep" if specimen:
                return a.sweeps.get(specimen, [])
            case "Specimen" if specimen and "NWBDownload" in q:
                link = f"/api/v2/well_known_file_download/{specimen}"
                files = {"ephys_result": {"well_known_files": [{"download_link": link}]}}
                return [{"id": specimen, **files}] if specimen in a.files else []
        raise AssertionError(q)

    def asset(self, session: str) -> Path:
        return next(p for path, p in self.archives.assets.items() if f"_ses-{session}_" in path)

    def listing(self, page: int, kind: str) -> None:
        a = self.archives
        names = sorted(a.assets)
        results = [
            {"asset_id": f"00000000-0000-0000-0000-{int(re.search(r'_ses-([0-9]+)_', name).group(1)):012d}",  # type: ignore[union-attr]
             "path": name, "size": len(bytes_of(a.assets[name])), "blob": "x", "zarr": None}
            for name in names[(page - 1) * a.page_size : page * a.page_size]
        ]  # fmt: skip
        base = f"http://127.0.0.1:{self.server.server_port}{urlsplit(self.path).path}"  # type: ignore[attr-defined]
        following = f"{base}?page={page + 1}" if page * a.page_size < len(names) else None
        self.send_json({"count": len(names), "next": following, "previous": None, "results": results}, kind)

    def send_json(self, value: Any, kind: str) -> None:
        body = b"<html>" if kind == "garbage" else json.dumps(value).encode()
        self.send(200, body, {"Content-Type": "application/json"}, kind == "truncated")

    def send_file(self, path: Path, kind: str) -> None:
        a = self.archives
        body, status, headers = bytes_of(path), 200, {"Content-Type": "application/octet-stream"}
        asked = re.match(r"bytes=(\d+)-(\d*)$", self.headers.get("Range", ""))
        if asked and a.ranges:
            start, stop = int(asked.group(1)), int(asked.group(2) or len(body) - 1) + 1
            if start >= len(body):
                self.send(416, b"", {"Content-Range": f"bytes */{len(body)}"})
                return
            headers["Content-Range"] = f"bytes {start}-{min(stop, len(body)) - 1}/{len(body)}"
            body, status = body[start:stop], 206
        with a.lock:
            spoilt, a.wrong_checksums = a.wrong_checksums > 0, max(a.wrong_checksums - 1, 0)
        if spoilt:
            body = body[:-1] + bytes([body[-1] ^ 1])
        self.send(status, body, headers, kind in ("truncated", "garbage"))

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: bool = False) -> None:
        """Send an answer; cut: the connection ends after half of it."""
        self.send_response_only(status)
        for key, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        sent = body[: len(body) // 2] if cut else body
        self.wfile.write(sent)
        self.wfile.flush()
        if cut:
            self.close_connection = True
        with self.archives.lock:
            self.archives.log.append((self.path, self.headers.get("Range", ""), status, len(sent)))

    def log_message(self, *_: Any) -> None:
        """Silence."""
