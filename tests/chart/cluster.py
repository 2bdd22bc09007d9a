"""What kubectl needs of a cluster to look at a release: an API server with its objects.

It has what controllers would have made of them: a finished rollout, an address of the balancer, the
pod of a Job, the metric of an adapter.
"""

from __future__ import annotations

import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chart.pods import Secrets
    from tests.chart.releases import Release

Object = dict[str, Any]

NAMESPACE = "news"
KINDS = {"Deployment": "apps/v1", "Job": "batch/v1", "Service": "v1", "Secret": "v1", "Pod": "v1"}
BUILT = "the model is built"
METRIC = (
    f"/apis/custom.metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}"
    "/pods/*/khulasa_queue_estimated_seconds"
)


def plural(kind: str) -> str:
    """What a kind is called in paths."""
    return f"{kind.lower()}s"


def root(version: str) -> str:
    """Where the API of a version begins."""
    return f"/api/{version}" if version == "v1" else f"/apis/{version}"


class Store:
    """Objects of the cluster, as controllers have left them.

    Args:
        release: what was installed.
        secrets: that were there before.
    """

    def __init__(self, release: Release, secrets: Secrets) -> None:
        self._objects: dict[str, Object] = {}
        for each in release.objects:
            if each["kind"] in KINDS:
                self._add(settled(each))
            if each["kind"] == "Job":
                self._add(worker(each))
        for name, content in secrets.items():
            data = {key: base64.b64encode(value).decode() for key, value in content.items()}
            metadata = {"name": name, "namespace": NAMESPACE}
            self._add({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})

    def _add(self, each: Object) -> None:
        each["metadata"] |= {"uid": each["metadata"]["name"], "generation": 1}
        each["metadata"]["resourceVersion"] = "1"
        self._objects[f"{where(each)}/{each['metadata']['name']}"] = each

    def answer(self, path: str, query: dict[str, list[str]]) -> Object | str | None:
        """What a GET is answered with; None: there is no such thing."""
        if path == METRIC and query.get("metricLabelSelector") == ["priority=interactive"]:
            return {"kind": "MetricValueList", "items": [{"value": "0"}]}
        if path.endswith("/log") and path.removesuffix("/log") in self._objects:
            return BUILT
        return discovery(path) or self._objects.get(path) or self._list(path, query)

    def _list(self, path: str, query: dict[str, list[str]]) -> Object | None:
        kinds = [kind for kind, version in KINDS.items() if path == collection(kind, version)]
        if not kinds:
            return None
        found = [each for each in self._objects.values() if where(each) == path]
        for selector in query.get("labelSelector", []):
            wanted = dict(part.split("=") for part in selector.split(","))
            found = [e for e in found if wanted.items() <= e["metadata"].get("labels", {}).items()]
        for selector in query.get("fieldSelector", []):
            found = [e for e in found if selector == f"metadata.name={e['metadata']['name']}"]
        kind = f"{kinds[0]}List"
        metadata = {"resourceVersion": "1"}
        return {"apiVersion": KINDS[kinds[0]], "kind": kind, "metadata": metadata, "items": found}


def collection(kind: str, version: str) -> str:
    """Path of all objects of a kind in the namespace."""
    return f"{root(version)}/namespaces/{NAMESPACE}/{plural(kind)}"


def where(each: Object) -> str:
    """Path that an object is below."""
    return collection(each["kind"], each["apiVersion"])


def settled(each: Object) -> Object:
    """An object with the status that controllers give it in the end."""
    match each["kind"]:
        case "Deployment":
            count = each["spec"].setdefault("replicas", 1)
            names = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
            each["status"] = dict.fromkeys(names, count) | {"observedGeneration": 1}
        case "Service" if each["spec"]["type"] == "LoadBalancer":
            each["status"] = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
        case "Job":
            each["spec"]["selector"] = {"matchLabels": {"job-name": each["metadata"]["name"]}}
    return each


def worker(job: Object) -> Object:
    """The pod that a Job's controller makes."""
    name = job["metadata"]["name"]
    metadata = {"name": f"{name}-1", "namespace": NAMESPACE, "labels": {"job-name": name}}
    spec = job["spec"]["template"]["spec"]
    status = {"phase": "Running"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


def discovery(path: str) -> Object | None:
    """What an API server says about what it serves."""
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        versions = {version for version in KINDS.values() if "/" in version}
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [*map(group, versions)]}
    kinds = [kind for kind, version in KINDS.items() if path == root(version)]
    if not kinds:
        return None
    resources = [
        {"name": plural(kind), "singularName": kind.lower(), "namespaced": True, "kind": kind,
         "verbs": ["get", "list", "watch"]}
        for kind in kinds
    ]  # fmt: skip
    version = path.removeprefix("/api/").removeprefix("/apis/")
    return {"kind": "APIResourceList", "groupVersion": version, "resources": resources}


def group(version: str) -> Object:
    """An API group with its one version."""
    name, _, number = version.partition("/")
    only = {"groupVersion": version, "version": number}
    return {"name": name, "versions": [only], "preferredVersion": only}


class Handler(BaseHTTPRequestHandler):
    """Answers GETs from a store; a watch sees that nothing changes, and ends."""

    protocol_version = "HTTP/1.1"
    store: ClassVar[Store]

    def log_message(self, *_: object) -> None:
        """Nothing to the terminal."""

    def do_GET(self) -> None:
        """An object, a list, or 404."""
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        found = None if "watch" in query else self.store.answer(unquote(parts.path), query)
        missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}
        text = found if isinstance(found, str) else json.dumps(found or missing)
        self.send_response(200 if found or "watch" in query else 404)
        self.send_header("Content-Type", "application/json")
        content = b"" if "watch" in query else text.encode()
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def cluster(release: Release, secrets: Secrets) -> Iterator[str]:
    """Address of an API server that has this release and these Secrets."""
    handler = type("Bound", (Handler,), {"store": Store(release, secrets)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
