"""The Helm chart: what it renders is valid Kubernetes, hardened, and fits the service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest

from service.settings import Settings
from tests.deploy.chart import CHART, KUBERNETES, render, run_helm
from tests.deploy.expressions import DASHBOARDS, alerts, expressions, metric_names

# Helm is unpacked once, and each set of values rendered once, by one worker.
pytestmark = pytest.mark.xdist_group("helm")

EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))
MONITORED = "monitoring.podMonitor=true,monitoring.prometheusRule=true,monitoring.dashboards=true"
HPA = ("--set", f"{MONITORED},autoscaling.kind=hpa")
KEDA = ("--set", f"{MONITORED},autoscaling.kind=keda,secrets.redis=redis")
RENDERINGS: dict[str, tuple[object, ...]] = {
    "default": (),
    "everything, hpa": HPA,
    "everything, keda": KEDA,
    **{path.name: ("--values", path) for path in EXAMPLES},
}


@pytest.fixture(params=RENDERINGS)
def objects(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return render(*RENDERINGS[request.param])


def of_kind(objects: list[dict[str, Any]], kind: str) -> Iterator[dict[str, Any]]:
    return (one for one in objects if one["kind"] == kind)


def service(objects: list[dict[str, Any]]) -> dict[str, Any]:
    """The pod of the service's own deployment."""
    (found,) = [one for one in of_kind(objects, "Deployment") if one["metadata"]["name"] == "demo"]
    pod: dict[str, Any] = found["spec"]["template"]["spec"]
    return pod


def pods(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one["spec"]["template"]["spec"] for one in of_kind(objects, "Deployment")]


def test_lint_finds_nothing() -> None:
    done = run_helm("lint", "--strict", CHART)
    assert done.returncode == 0, done.stdout + done.stderr


def test_everything_fits_its_schema(objects: list[dict[str, Any]]) -> None:
    for one in objects:
        if one["kind"] not in ("ScaledObject", "PodMonitor", "PrometheusRule"):
            kubernetes_validate.validate(one, KUBERNETES, strict=True)
            continue
        # Inside, because importing these takes seconds.
        from cloudcoil.models.keda import v1alpha1 as keda
        from cloudcoil.models.prometheus_operator import v1 as monitoring

        model = getattr(keda if one["kind"] == "ScaledObject" else monitoring, one["kind"])
        # Fields that the resource does not know would be dropped.
        read = model.model_validate(one)
        assert read.model_dump(mode="json", by_alias=True, exclude_unset=True) == one


def test_pods_meet_the_restricted_standard(objects: list[dict[str, Any]]) -> None:
    """Kubernetes' Pod Security Standards, level restricted, and a read-only root beyond it."""
    for pod in pods(objects):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["readOnlyRootFilesystem"] is True
            assert container["resources"]["limits"]["memory"]
            assert not container["image"].endswith(":latest")
        kinds = {kind for volume in pod["volumes"] for kind in volume if kind != "name"}
        assert kinds <= {"emptyDir", "secret", "configMap", "persistentVolumeClaim"}
        for volume in pod["volumes"]:
            if "emptyDir" in volume:
                assert volume["emptyDir"]["sizeLimit"]


def test_stopping_takes_as_long_as_the_drain(objects: list[dict[str, Any]]) -> None:
    pod = service(objects)
    (container,) = pod["containers"]
    before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    environment = {one["name"]: one.get("value") for one in container["env"]}
    grace = int(environment["MENTALLLAMA_GRACE_SECONDS"])
    assert pod["terminationGracePeriodSeconds"] == before + grace + 10
    # The endpoints must have been told before the service refuses work.
    assert before >= container["readinessProbe"]["periodSeconds"]
    for other in pods(objects):  # the router outlives what it passed on
        assert other["terminationGracePeriodSeconds"] >= pod["terminationGracePeriodSeconds"]


def test_the_three_probes_ask_the_services_routes(objects: list[dict[str, Any]]) -> None:
    (container,) = service(objects)["containers"]
    paths = {
        kind: container[f"{kind}Probe"]["httpGet"]["path"]
        for kind in ("startup", "liveness", "readiness")
    }
    assert paths == {"startup": "/readyz", "liveness": "/livez", "readiness": "/readyz"}
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 1800


def test_secrets_are_in_no_manifest(objects: list[dict[str, Any]]) -> None:
    assert not list(of_kind(objects, "Secret"))
    for variable in service(objects)["containers"][0]["env"]:
        if variable["name"] == "MENTALLLAMA_REDIS_URL":
            assert set(variable["valueFrom"]) == {"secretKeyRef"}


def test_settings_are_the_services(objects: list[dict[str, Any]]) -> None:
    for variable in service(objects)["containers"][0]["env"]:
        name = variable["name"].removeprefix("MENTALLLAMA_").lower()
        assert name in Settings.model_fields, name


def test_selectors_find_their_pods_and_only_those(objects: list[dict[str, Any]]) -> None:
    labels = {
        one["metadata"]["name"]: one["spec"]["template"]["metadata"]["labels"]
        for one in of_kind(objects, "Deployment")
    }
    assert set(labels) == {"demo", "demo-router"}

    def found(selector: dict[str, str]) -> set[str]:
        return {name for name, have in labels.items() if selector.items() <= have.items()}

    for kind, name, wanted in (
        ("Service", "demo", "demo-router"),
        ("Service", "demo-replicas", "demo"),
        ("PodDisruptionBudget", "demo-service", "demo"),
        ("PodDisruptionBudget", "demo-router", "demo-router"),
        ("NetworkPolicy", "demo-service", "demo"),
        ("NetworkPolicy", "demo-router", "demo-router"),
        ("PodMonitor", "demo", "demo"),
    ):
        for one in of_kind(objects, kind):
            if one["metadata"]["name"] == name:
                spec = one["spec"]
                selector = spec.get("selector") or spec["podSelector"]
                assert found(selector.get("matchLabels", selector)) == {wanted}, (kind, name)


def test_nobody_but_the_router_and_prometheus_reaches_the_service() -> None:
    objects = render()
    policies = {one["metadata"]["name"]: one["spec"] for one in of_kind(objects, "NetworkPolicy")}
    ingress = policies["demo-service"]["ingress"]
    (rule,) = ingress
    assert [set(peer) for peer in rule["from"]] == [{"podSelector"}, {"namespaceSelector"}]
    for policy in policies.values():
        assert policy["policyTypes"] == ["Ingress", "Egress"]
    (dns,) = policies["demo-service"]["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}


def test_replicas_follow_metrics_that_exist() -> None:
    known = {name for one in expressions().values() for name in metric_names(one)}
    (scaler,) = of_kind(render(*HPA), "HorizontalPodAutoscaler")
    (scaled,) = of_kind(render(*KEDA), "ScaledObject")
    names = {metric["pods"]["metric"]["name"] for metric in scaler["spec"]["metrics"]}
    queries = [trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"]]
    assert names == {name for query in queries for name in metric_names(query)}
    assert names <= known
    for options in (HPA, KEDA):
        deployments = of_kind(render(*options), "Deployment")
        (own,) = [one for one in deployments if one["metadata"]["name"] == "demo"]
        assert "replicas" not in own["spec"], "the scaler's number would be set back"


def test_rules_and_dashboards_are_those_of_the_repository() -> None:
    objects = render(*HPA)
    (rule,) = of_kind(objects, "PrometheusRule")
    installed = {r["alert"] for g in rule["spec"]["groups"] for r in g["rules"] if "alert" in r}
    assert installed == {alert["alert"] for alert in alerts()}
    files = [file for one in of_kind(objects, "ConfigMap") for file in one["data"].items()]
    boards = {name: json.loads(text) for name, text in files if name.endswith(".json")}
    assert boards == {path.name: json.loads(path.read_text()) for path in DASHBOARDS}


def test_scrapes_carry_the_job_that_rules_look_for() -> None:
    (monitor,) = of_kind(render(*HPA), "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert {"targetLabel": "job", "replacement": "mentalllama"} in endpoint["relabelings"]
    assert endpoint["authorization"]["credentials"] == {"name": "mentalllama-metrics", "key": "key"}


def test_tensor_parallelism_reaches_vllm_with_its_gpus() -> None:
    (container,) = service(render("--values", CHART / "examples" / "tensor-parallel.yaml"))[
        "containers"
    ]
    arguments = container["args"]
    assert arguments[arguments.index("--tensor-parallel-size") + 1] == "4"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 4


def test_a_digest_comes_before_a_tag() -> None:
    digest = f"sha256:{'0' * 64}"
    (container,) = service(render("--set", f"image.digest={digest}"))["containers"]
    assert container["image"] == f"mentalllama@{digest}"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("replicas=0", "replicas"),
        ("image.tag=latest", "tag"),
        ("autoscaling.kind=magic", "kind"),
        ("arguments={--trust-remote-code}", "arguments"),
        ("settings.KEYS=secret", "settings"),
        ("invented=1", "invented"),
        ("tensorParallel=2", "tensorParallel needs gpus"),
        ("tensorParallel=4,gpus=2", "must be at least tensorParallel"),
        ("autoscaling.minReplicas=9", "at most autoscaling.maxReplicas"),
    ],
)
def test_wrong_values_are_refused_by_name(value: str, words: str) -> None:
    done = run_helm("template", "demo", CHART, "--kube-version", KUBERNETES, "--set", value)
    assert done.returncode != 0
    assert words in done.stderr
