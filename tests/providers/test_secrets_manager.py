"""Keys out of AWS Secrets Manager, over its real protocol: moto speaks it, and where it must fail, a server of ours."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer

from providers import checks, registry, secrets, secrets_manager
from providers.secrets_manager import AGAIN_S, FRESH_S, Unreadable, Vault

NAME = "pipeline/openrouter-api-key"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    given = Clock()
    monkeypatch.setattr(secrets_manager, "_now", given)
    return given


@pytest.fixture(autouse=True)
def aws(settings: Any, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Iterator[None]:
    for name, value in {"AWS_ACCESS_KEY_ID": "a-key", "AWS_SECRET_ACCESS_KEY": "a-secret"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    settings.PROVIDERS_MODE, settings.SECRETS_BACKEND, settings.SECRETS_REGION = "real", "aws", "us-east-2"
    settings.PROVIDER_KEYS = {"openrouter": "from-the-environment", "replicate": "from-the-environment"}
    secrets_manager.vault.cache_clear()
    yield
    secrets_manager.vault.cache_clear()


# --- Against moto -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def manager(endpoint: str, settings: Any, aws: None) -> Any:
    settings.SECRETS_ENDPOINT_URL = endpoint
    requests.post(f"{endpoint}/moto-api/reset", timeout=5).close()
    return boto3.client("secretsmanager", region_name="us-east-2", endpoint_url=endpoint)


def test_a_key_is_the_plain_text_of_its_secret(manager: Any) -> None:
    manager.create_secret(Name=NAME, SecretString="sk-or-of-the-vault\n")
    manager.create_secret(Name="pipeline/replicate-api-key", SecretString="r8_of_the_vault")
    assert (secrets.key("openrouter"), secrets.key("replicate")) == ("sk-or-of-the-vault", "r8_of_the_vault")
    assert registry.is_available("provider_h")


def test_a_secret_that_is_not_there_is_not_looked_for_in_the_environment(manager: Any) -> None:
    with pytest.raises(secrets.SecretsUnavailable, match=f"SECRETS_UNAVAILABLE.*{NAME}.*ResourceNotFoundException"):
        secrets.key("openrouter")
    assert not secrets.has_key("openrouter")
    assert not registry.is_available("provider_h")
    assert any(NAME in warning.msg for warning in checks.missing_keys())


def test_a_rotated_key_is_used_an_hour_later(manager: Any, clock: Clock) -> None:
    manager.create_secret(Name=NAME, SecretString="sk-or-the-first")
    assert secrets.key("openrouter") == "sk-or-the-first"
    manager.put_secret_value(SecretId=NAME, SecretString="sk-or-the-second")
    clock.now += FRESH_S - 1
    assert secrets.key("openrouter") == "sk-or-the-first"
    clock.now += 1
    assert secrets.key("openrouter") == "sk-or-the-second"


def test_the_name_of_a_secret_is_a_setting(manager: Any, settings: Any) -> None:
    settings.SECRET_NAMES = {**settings.SECRET_NAMES, "openai": "prod/drawing"}
    manager.create_secret(Name="prod/drawing", SecretString="sk-of-the-vault")
    assert secrets.key("openai") == "sk-of-the-vault"


def test_values_of_the_vault_are_hidden_and_never_logged(manager: Any, caplog: pytest.LogCaptureFixture) -> None:
    manager.create_secret(Name=NAME, SecretString="no-shape-gives-this-away")
    with caplog.at_level("DEBUG", "providers"):
        secrets.key("openrouter")
    assert "no-shape-gives-this-away" not in caplog.text
    assert "a secret was read" in caplog.text
    assert secrets.redact("they said no-shape-gives-this-away") == "they said ***"


# --- Against a server that fails --------------------------------------------------------------------


class Desk(ThreadingHTTPServer):
    """Answers with the next of `script`, then with the last one for good. A word is an error's code, else the text."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Counter)
        self.script: list[tuple[int, str]] = []
        self.asked: list[str] = []
        self.came = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()


class Counter(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        desk: Any = self.server
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["X-Amz-Target"] == "secretsmanager.GetSecretValue"
        desk.asked.append(asked["SecretId"])
        desk.came.release()
        desk.gate.wait(10)
        status, word = desk.script.pop(0) if len(desk.script) > 1 else desk.script[0]
        told = {"__type": word, "Message": "no"} if status >= 400 else {**VERSION, "SecretString": word}
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


VERSION = {"ARN": "arn:aws:secretsmanager:us-east-2:1:secret:a", "Name": NAME, "VersionId": "v" * 32}


@pytest.fixture
def desk(settings: Any, monkeypatch: pytest.MonkeyPatch, aws: None) -> Iterator[Desk]:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    server = Desk()
    settings.SECRETS_ENDPOINT_URL = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.gate.set()
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_a_fault_of_theirs_is_tried_again_three_times(desk: Desk) -> None:
    desk.script = [(500, "InternalServiceError"), (503, "ServiceUnavailable"), (400, "ThrottlingException"), (200, "k")]
    assert Vault().value(NAME) == "k"
    assert desk.asked == [NAME] * 4


def test_after_three_more_tries_it_says_why(desk: Desk) -> None:
    desk.script = [(500, "InternalServiceError")]
    with pytest.raises(Unreadable, match="InternalServiceError"):
        Vault().value(NAME)
    assert len(desk.asked) == 4


def test_a_refusal_is_final_and_not_asked_for_again_by_every_call(desk: Desk, clock: Clock) -> None:
    desk.script = [(400, "AccessDeniedException"), (200, "k")]
    vault = Vault()
    for _ in range(3):
        with pytest.raises(Unreadable, match=f"{NAME} cannot be read: AccessDeniedException"):
            vault.value(NAME)
    assert len(desk.asked) == 1
    clock.now += AGAIN_S
    assert vault.value(NAME) == "k"


def test_the_last_good_value_outlives_a_failed_refresh(desk: Desk, clock: Clock) -> None:
    desk.script = [(200, "old"), (400, "AccessDeniedException"), (200, "new")]
    vault = Vault()
    assert vault.value(NAME) == "old"
    clock.now += 10 * FRESH_S
    assert (vault.value(NAME), vault.value(NAME)) == ("old", "old")
    assert len(desk.asked) == 2
    clock.now += AGAIN_S
    assert vault.value(NAME) == "new"


def test_an_empty_secret_is_none(desk: Desk) -> None:
    desk.script = [(200, "  ")]
    with pytest.raises(Unreadable, match="holds no text"):
        Vault().value(NAME)


def test_nobody_there_is_told_by_its_kind(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    settings.SECRETS_ENDPOINT_URL = "http://127.0.0.1:1"
    with pytest.raises(Unreadable, match="EndpointConnectionError"):
        Vault().value(NAME)


def test_fifty_threads_ask_once(desk: Desk) -> None:
    desk.script = [(200, "k")]
    vault = Vault()
    with ThreadPoolExecutor(50) as threads:
        assert set(threads.map(vault.value, [NAME] * 50)) == {"k"}
    assert desk.asked == [NAME]


def test_who_holds_an_older_value_does_not_wait_for_the_newer(desk: Desk, clock: Clock) -> None:
    desk.script = [(200, "old"), (200, "new")]
    vault = Vault()
    vault.value(NAME)
    assert desk.came.acquire(timeout=10)
    clock.now += FRESH_S
    desk.gate.clear()
    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(vault.value, NAME)
        assert desk.came.acquire(timeout=10)
        assert vault.value(NAME) == "old"
        desk.gate.set()
        assert reading.result(10) == "new"


def test_whether_there_is_a_key_is_answered_from_memory(desk: Desk, clock: Clock) -> None:
    desk.script = [(200, "old"), (200, "new")]
    vault = Vault()
    assert vault.has(NAME)
    clock.now += FRESH_S
    desk.gate.clear()
    assert vault.has(NAME)  # while the newer one is being read beside it
    desk.gate.set()
    for thread in threading.enumerate():
        if thread.name == "secrets":
            thread.join(10)
    assert (vault.value(NAME), len(desk.asked)) == ("new", 2)


def test_who_asks_whether_there_is_a_key_starts_one_reader_at_most(desk: Desk, clock: Clock) -> None:
    desk.script = [(400, "AccessDeniedException"), (200, "k")]
    vault = Vault()
    assert not vault.has(NAME)
    clock.now += AGAIN_S
    desk.gate.clear()
    assert not any(vault.has(NAME) for _ in range(50))
    readers = [thread for thread in threading.enumerate() if thread.name == "secrets"]
    desk.gate.set()
    for thread in readers:
        thread.join(10)
    assert len(readers) == 1
    assert (vault.has(NAME), len(desk.asked)) == (True, 2)


def test_boto3_is_imported_only_for_this() -> None:
    code = (
        "import sys, django; django.setup(); from providers import registry;"
        "registry.candidates('text-to-image', ['openai']); print('boto3' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
