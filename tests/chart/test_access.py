"""Who reaches the server, and how: Services, policy, route, TLS and tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

Object = dict[str, Any]

TLS = {"tls": {"existingSecret": "server-tls"}}
TOKENS = {"auth": {"existingSecret": "tokens"}, "test": {"tokenSecret": "token"}}


def ports(service: Object) -> dict[str, Object]:
    """Ports of a Service by name."""
    return {port["name"]: port for port in service["spec"]["ports"]}


@pytest.mark.parametrize("tls", [{}, TLS], ids=["plain", "tls"])
def test_services_say_what_they_speak(tls: Object, render: Callable[..., Any]) -> None:
    """Both Services name plain HTTP/2 while TLS is off, and do not while it is on."""
    expected = None if tls else "kubernetes.io/h2c"
    services = render(tls).all("Service")
    assert [ports(each)["grpc"].get("appProtocol") for each in services] == [expected] * 2


def test_the_headless_service_shows_every_pod(render: Callable[..., Any]) -> None:
    """One Service has an address of its own; the other resolves to the ready pods."""
    release = render({"service": {"type": "NodePort", "port": 8443}})
    clients, headless = release.all("Service")
    assert clients["spec"]["type"] == "NodePort"
    assert headless["spec"]["clusterIP"] == "None"
    assert "publishNotReadyAddresses" not in headless["spec"]
    for service in (clients, headless):
        assert ports(service)["grpc"]["port"] == 8443
        assert ports(service)["grpc"]["targetPort"] == "grpc"


def test_the_policy_lets_in_what_is_served(render: Callable[..., Any]) -> None:
    """Only the two ports are open, to everyone by default, and nothing goes out."""
    policy = render().one("NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"] == [
        {"ports": [{"port": "grpc", "protocol": "TCP"}]},
        {"ports": [{"port": "metrics", "protocol": "TCP"}]},
    ]
    assert policy["egress"] == []


def test_a_narrow_policy_lets_the_test_in(render: Callable[..., Any]) -> None:
    """Where callers are named, the pod of `helm test` is one of them, and of no scrapers."""
    team = {"namespaceSelector": {"matchLabels": {"team": "news"}}}
    release = render({"networkPolicy": {"clients": [team], "scrapers": [team]}})
    grpc, metrics = release.one("NetworkPolicy")["spec"]["ingress"]
    named, test = grpc["from"]
    assert named == team
    labels = release.one("Pod")["metadata"]["labels"]
    assert test["podSelector"]["matchLabels"].items() <= labels.items()
    assert metrics["from"] == [team]


def test_the_build_may_reach_the_hub(render: Callable[..., Any]) -> None:
    """The policy that lets nothing out does not select the Job."""
    item = {"name": "t", "source": "opus-mt-ar-en", "revision": "0" * 40}
    values = {"models": {"source": "build", "build": {"image": "b:1", "items": [item]}}}
    release = render(values)
    selected = release.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    labels = release.one("Job")["spec"]["template"]["metadata"]["labels"]
    assert not selected.items() <= labels.items()


def test_the_route_leads_to_the_service(render: Callable[..., Any]) -> None:
    """A GRPCRoute appears when asked for, and names a Service and a port that are there."""
    assert render().all("GRPCRoute") == []
    release = render({"grpcRoute": {"enabled": True, "parentRefs": [{"name": "edge"}]}})
    ((backend,),) = (rule["backendRefs"] for rule in release.one("GRPCRoute")["spec"]["rules"])
    (service,) = (
        each for each in release.all("Service") if each["metadata"]["name"] == backend["name"]
    )
    assert ports(service)["grpc"]["port"] == backend["port"]


def test_no_secret_is_in_the_release(render: Callable[..., Any]) -> None:
    """Certificates and tokens are mounted from Secrets that the chart only names."""
    release = render(TLS | TOKENS)
    assert release.all("Secret") == []
    mounts = {each["name"]: each for each in release.server["volumeMounts"]}
    assert mounts["tls"]["readOnly"]
    # A single file is mounted once and for all: the kubelet renews directories only.
    assert not any("subPath" in each for each in mounts.values())


def test_the_test_does_not_see_the_servers_key(render: Callable[..., Any]) -> None:
    """Of the server's Secret the client gets the authority alone, if there is one."""
    volumes = render(TLS).one("Pod")["spec"]["volumes"]
    (authority,) = (each["secret"] for each in volumes if each["name"] == "ca")
    assert authority == {
        "secretName": "server-tls",
        "optional": True,
        "items": [{"key": "ca.crt", "path": "ca.crt"}],
    }


def test_extra_environment_reaches_the_server(render: Callable[..., Any]) -> None:
    """`extraEnv` is the container's environment besides the settings."""
    extra = [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}]
    assert render({"extraEnv": extra}).server["env"] == extra
