"""`compose.yaml` is valid, starts what the pods start, and is hardened as they are."""

import re
import subprocess
import sys
from typing import Any, Final

import pytest
import yaml

from app.core.config import DEVELOPMENT_SECRET, Settings
from app.core.version import VERSION
from tests.k8s.rendering import environment, main_container, named, pod, rendered
from tests.support.processes import ROOT

FILE: Final = ROOT / "compose.yaml"
OURS: Final = ("migrate", "api", "worker")
MONITORING: Final = ("prometheus", "grafana")
DEFAULT: Final = re.compile(r"\$\{(\w+):-([^}]*)\}")


def services() -> dict[str, dict[str, Any]]:
    """The services, with no variable set outside the file."""
    text = DEFAULT.sub(lambda match: match[2], FILE.read_text(encoding="utf-8"))
    found: dict[str, dict[str, Any]] = yaml.safe_load(text)["services"]
    return found


def test_it_is_valid_by_the_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", OURS)
def test_our_services_are_of_this_version_and_hardened_as_the_pods_are(name: str) -> None:
    service = services()[name]

    assert service["image"] == f"headrace:{VERSION}"
    assert service["user"] == "10001:10001"
    assert "/tmp" in service["volumes"]  # anonymous, because uploads are too large for memory


@pytest.mark.parametrize("name", services())
def test_no_service_has_more_rights_than_it_needs(name: str) -> None:
    service = services()[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] != "0:0"
    assert not service.get("privileged")


def test_the_stores_are_those_of_the_component() -> None:
    manifests = rendered("dev")
    for name, kind in (("postgres", "StatefulSet"), ("valkey", "Deployment")):
        workload = named(manifests, kind, name)
        assert services()[name]["image"] == main_container(workload)["image"]
        assert services()[name]["user"].startswith(f"{pod(workload)['securityContext']['runAsUser']}:")
    acl = (ROOT / "k8s" / "overlays" / "dev" / "users.acl").read_text(encoding="ascii").splitlines()
    users = [f"user {rules}" for rules in services()["valkey"]["command"] if " o" in rules]
    assert [_without_password(user) for user in users] == [_without_password(user) for user in acl]


@pytest.mark.parametrize("name", ["api", "worker"])
def test_the_environment_makes_valid_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in Settings.model_fields:
        monkeypatch.delenv(setting.upper(), raising=False)
    for variable, value in services()[name]["environment"].items():
        assert variable.lower() in Settings.model_fields, variable
        monkeypatch.setenv(variable, value)

    settings = Settings(_env_file=None)

    assert not settings.is_production
    assert settings.secret_key.get_secret_value() == DEVELOPMENT_SECRET
    assert settings.storage_url == "file:///var/lib/headrace"


def test_the_api_delivers_notifications_and_can_be_told_where_they_go() -> None:
    api = services()["api"]["environment"]

    assert Settings.model_fields["deliver_notifications"].default is True
    assert "DELIVER_NOTIFICATIONS" not in api
    assert {"PUBLIC_URL", "WEBHOOK_ALLOWED_NETWORKS", "SMTP_HOST", "MAIL_FROM"} <= api.keys()


def test_it_stops_as_the_pods_do() -> None:
    manifests = rendered("production")
    for name in ("api", "worker"):
        deployment = named(manifests, "Deployment", f"headrace-{name}")
        grace = pod(deployment)["terminationGracePeriodSeconds"]
        variables = environment(manifests, main_container(deployment))
        service = services()[name]
        assert service["stop_grace_period"] == f"{grace}s"
        for setting in ("STOP_SECONDS", "DRAIN_SECONDS", "WORKER_SLOTS"):
            assert service["environment"].get(setting) == variables.get(setting)


def test_it_listens_on_this_machine_only() -> None:
    published = [port for service in services().values() for port in service.get("ports", [])]

    assert published == ["127.0.0.1:8000:8000", "127.0.0.1:9090:9090", "127.0.0.1:3000:3000"]


def test_every_image_has_a_version() -> None:
    for name, service in services().items():
        _, _, version = service["image"].partition(":")
        assert re.fullmatch(r"v?\d+(\.\d+)*", version), name


def test_only_the_profile_monitoring_adds_services() -> None:
    profiles = {name: service["profiles"] for name, service in services().items() if "profiles" in service}

    assert profiles == {name: ["monitoring"] for name in MONITORING}


@pytest.mark.parametrize("name", services())
def test_what_is_mounted_is_in_the_repository_and_cannot_be_changed(name: str) -> None:
    for volume in services()[name].get("volumes", []):
        source, _, target = volume.partition(":")
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
            assert target.endswith(":ro"), volume


def test_prometheus_scrapes_the_ports_on_which_the_services_serve_their_metrics() -> None:
    mounted = dict(volume.rsplit(":", 2)[:2] for volume in services()["prometheus"]["volumes"][1:])
    (source,) = [source for source, target in mounted.items() if target.endswith("/prometheus.yaml")]
    configuration = yaml.safe_load((ROOT / source).read_text(encoding="utf-8"))
    [[discovery]] = [job["dns_sd_configs"] for job in configuration["scrape_configs"]]

    assert discovery["names"] == ["api", "worker"]
    assert services()["api"]["environment"]["METRICS_PORT"] == str(discovery["port"])
    assert Settings.model_fields["worker_port"].default == discovery["port"]
    # promtool looks for rules beside the file that names them, as the container does.
    assert [f"/etc/prometheus/{name}" for name in configuration["rule_files"]] == [
        target for target in mounted.values() if target.endswith("/rules.yaml")
    ]


def test_grafana_reads_its_data_from_prometheus_and_its_dashboards_from_the_folder() -> None:
    mounted = dict(volume.rsplit(":", 2)[:2] for volume in services()["grafana"]["volumes"])
    provisioning = {
        target.split("/")[-2]: yaml.safe_load((ROOT / source).read_text(encoding="utf-8"))
        for source, target in mounted.items()
        if "/provisioning/" in target
    }
    home = services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]

    assert provisioning["datasources"]["datasources"][0]["url"] == "http://prometheus:9090"
    [provider] = provisioning["dashboards"]["providers"]
    assert provider["options"]["path"] in mounted.values()
    assert home == f"{provider['options']['path']}/headrace.json"


def test_the_passwords_in_the_urls_are_those_of_the_servers() -> None:
    postgres, valkey = services()["postgres"]["environment"], services()["valkey"]["command"]
    urls = {name: services()[name]["environment"] for name in OURS}

    assert f"headrace_owner:{postgres['OWNER_PASSWORD']}@" in urls["migrate"]["DATABASE_URL"]
    for name in ("api", "worker"):
        assert f"headrace_app:{postgres['APP_PASSWORD']}@" in urls[name]["DATABASE_URL"]
        (password,) = re.findall(r"headrace:(\w+)@", urls[name]["REDIS_URL"])
        assert f">{password} " in valkey[-1]


def _without_password(user: str) -> str:
    return re.sub(r" >\S+", "", user)
