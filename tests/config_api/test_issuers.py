"""Outside issuers: whom we believe, how their people come to be, and what a wrong setting says."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from rest_framework.test import APIClient

from config.api import auth, issuers
from config.api.auth import user_for_token
from config.api.errors import ApiError
from config.env import SettingError
from config.models import User
from tests.db import race

pytestmark = pytest.mark.django_db

SECRET = "a secret that is long enough for every one of the HMAC family, SHA-512 too"
ISSUER = "https://people.example/auth"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())

hooked: list[User] = []


def remember(user: User) -> None:
    """A hook of NEW_USER_HOOKS."""
    hooked.append(user)


def break_down(user: User) -> None:
    raise RuntimeError("no account")


@pytest.fixture(autouse=True)
def no_credits_here(settings: Any) -> None:
    settings.NEW_USER_HOOKS = ["tests.config_api.test_issuers.remember"]
    hooked.clear()


@pytest.fixture
def secret_issuer(settings: Any) -> None:
    settings.JWT_ISSUERS = [{"issuer": ISSUER, "secret": SECRET, "audience": "desk"}]


def made(key: Any = SECRET, algorithm: str = "HS256", kid: str | None = None, **claims: Any) -> str:
    payload = {"iss": ISSUER, "aud": "desk", "sub": "person-1", "exp": int(time.time()) + 600, **claims}
    payload = {name: value for name, value in payload.items() if value is not None}
    body = json.dumps(payload).encode()  # PyJWT itself would refuse to write some of the claims
    return jwt.PyJWS().encode(body, key, algorithm=algorithm, headers={"kid": kid} if kid else None)


def refusal(raw: str) -> str:
    with pytest.raises(ApiError) as refused:
        user_for_token(raw)
    assert refused.value.status_code == 401
    return refused.value.code


# --- By secret -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("secret_issuer")
def test_a_person_is_made_on_first_sight_and_found_after(django_assert_num_queries: Any) -> None:
    first = user_for_token(made())

    assert (first.issuer, first.subject, first.storage_id, first.username) == (
        ISSUER,
        "person-1",
        "person-1",
        "x-person-1",
    )
    assert not first.has_usable_password()
    assert hooked == [first]
    with django_assert_num_queries(1):
        assert user_for_token(made()) == first
    assert len(hooked) == 1


@pytest.mark.usefixtures("secret_issuer")
@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (lambda: made(aud="another"), "TOKEN_INVALID"),
        (lambda: made(aud=None), "TOKEN_INVALID"),
        (lambda: made(iss="https://stranger.example"), "TOKEN_INVALID"),
        (lambda: made(iss=None), "TOKEN_INVALID"),
        (lambda: made(iss=["a", "list"]), "TOKEN_INVALID"),
        (lambda: made(key="x" * 40), "TOKEN_INVALID"),
        (lambda: made(algorithm="HS512"), "TOKEN_INVALID"),
        (lambda: made(key=None, algorithm="none"), "TOKEN_INVALID"),
        (lambda: made(key=RSA_KEY, algorithm="RS256"), "TOKEN_INVALID"),
        (lambda: made(exp=int(time.time()) - 60), "TOKEN_EXPIRED"),
        (lambda: made(exp=None), "TOKEN_INVALID"),
        (lambda: made(exp="soon"), "TOKEN_INVALID"),
        (lambda: made(nbf=int(time.time()) + 600), "TOKEN_INVALID"),
        (lambda: made(sub=None), "TOKEN_INVALID"),
        (lambda: made(sub=""), "TOKEN_INVALID"),
        (lambda: made(sub="x" * 256), "TOKEN_INVALID"),
        (lambda: made(sub="a\x00b"), "TOKEN_INVALID"),
        (lambda: made(sub={"id": 1}), "TOKEN_INVALID"),
        (lambda: made(token_type="refresh"), "TOKEN_INVALID"),
    ],
)
def test_a_token_that_is_not_vouched_for_is_refused(raw: Any, code: str) -> None:
    assert refusal(raw()) == code
    assert not User.objects.exists()


@pytest.mark.usefixtures("secret_issuer")
def test_a_disabled_outside_person_is_refused() -> None:
    user = user_for_token(made())
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert refusal(made()) == "TOKEN_INVALID"


@pytest.mark.usefixtures("secret_issuer")
def test_a_subject_that_is_a_uuid_is_the_persons_key_as_the_source_systems_rows_have_it(alice: User) -> None:
    theirs = str(uuid.uuid4())
    assert str(user_for_token(made(sub=theirs)).pk) == theirs
    assert str(user_for_token(made(sub=theirs.upper())).pk) != theirs  # another person, of another name
    assert user_for_token(made(sub=str(alice.pk))).pk != alice.pk  # taken


@pytest.mark.usefixtures("secret_issuer")
def test_an_outsider_cannot_speak_for_somebody_here(alice: User) -> None:
    assert user_for_token(made(sub=str(alice.pk))) != alice
    assert user_for_token(made(sub="alice")) != alice


@pytest.mark.usefixtures("secret_issuer")
@pytest.mark.parametrize(
    ("subject", "storage_id"),
    [
        ("6f1c2a52-0000-4000-8000-000000000001", "6f1c2a52-0000-4000-8000-000000000001"),
        ("someone@people.example", "someone@people.example"),
        (42, "x-42"),
        ("42", "x-42"),
        ("../../etc", None),
        ("a/b", None),
        ("..", None),
        ("a..b", None),
        (".hidden", None),
        ("y" * 250, None),
        ("käse", None),
    ],
)
def test_a_subject_names_the_storage_folder_unless_it_is_unsafe_there(subject: Any, storage_id: str | None) -> None:
    user = user_for_token(made(sub=subject))
    if storage_id:
        assert user.storage_id == storage_id
    else:
        assert user.storage_id.startswith("x-")
        assert user.storage_id[2:].isalnum()
    assert user_for_token(made(sub=subject)) == user


def test_names_that_are_taken_get_a_mark(settings: Any, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(storage_id="person-1", username="x-person-1")
    other = "https://other.example"
    settings.JWT_ISSUERS = [{"issuer": ISSUER, "secret": SECRET}, {"issuer": other, "secret": SECRET}]

    first, second = user_for_token(made(aud=None)), user_for_token(made(aud=None, iss=other))

    assert first.storage_id == "x-person-1"
    assert second.storage_id.startswith("x-")
    assert len({"person-1", first.storage_id, second.storage_id}) == 3
    assert len({"x-person-1", first.username, second.username}) == 3


@pytest.mark.usefixtures("secret_issuer")
def test_a_hook_that_fails_leaves_no_person_behind(settings: Any) -> None:
    settings.NEW_USER_HOOKS = ["tests.config_api.test_issuers.break_down"]
    with pytest.raises(RuntimeError):
        user_for_token(made())
    assert not User.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("secret_issuer")
def test_a_first_sight_by_many_at_once_makes_one_person() -> None:
    seen = race(*[lambda: user_for_token(made())] * 6)

    assert len({user.pk for user in seen}) == 1
    assert User.objects.count() == len(hooked) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("secret_issuer")
def test_newcomers_who_want_the_same_name_all_get_in() -> None:
    subjects = ["some one", "some-one", "some/one", "some|one"]  # one username, four people
    seen = race(*[lambda subject=subject: user_for_token(made(sub=subject)) for subject in subjects])
    assert len({user.pk for user in seen}) == len({user.username for user in seen}) == 4


# --- Short forms ---------------------------------------------------------------------------------


def test_supabase_in_two_variables(settings: Any) -> None:
    settings.SUPABASE_URL, settings.SUPABASE_JWT_SECRET = "https://abc.supabase.co", SECRET
    good = {"iss": "https://abc.supabase.co/auth/v1", "aud": "authenticated"}

    assert user_for_token(made(**good)).subject == "person-1"
    assert refusal(made(**good | {"aud": "anon"})) == "TOKEN_INVALID"
    assert refusal(made(**good | {"iss": "https://abc.supabase.co"})) == "TOKEN_INVALID"
    assert refusal(made(**good | {"iss": ["https://abc.supabase.co/auth/v1"]})) == "TOKEN_INVALID"


def test_what_supabases_secret_signed_need_not_say_who_issued_it(settings: Any) -> None:
    settings.SUPABASE_URL, settings.SUPABASE_JWT_SECRET = "https://abc.supabase.co", SECRET
    unnamed = {"iss": None, "aud": "authenticated"}

    assert user_for_token(made(**unnamed)) == user_for_token(
        made(**unnamed | {"iss": "https://abc.supabase.co/auth/v1"})
    )
    assert refusal(made(key="x" * 40, **unnamed)) == "TOKEN_INVALID"
    assert refusal(made(**unnamed | {"aud": None})) == "TOKEN_INVALID"


@pytest.mark.parametrize("claim", ["sub", "user_id", "userId"])
def test_one_secret_for_any_issuer(settings: Any, claim: str) -> None:
    settings.JWT_SECRET = SECRET
    claims = {"sub": None, "aud": None, "iss": None} | {claim: "u1"}

    user = user_for_token(made(**claims))

    assert (user.issuer, user.subject) == ("", "u1")
    assert user_for_token(made(**claims, email="u1@people.example")) == user
    assert user_for_token(made(**claims | {"iss": "elsewhere"})) != user


def test_the_any_secret_vouches_for_no_issuer_that_has_its_own(settings: Any) -> None:
    settings.JWT_SECRET = "another-secret-of-thirty-two-bytes-or-more"
    settings.JWT_ISSUERS = [{"issuer": ISSUER, "secret": SECRET, "audience": "desk"}]
    assert refusal(made(key=settings.JWT_SECRET)) == "TOKEN_INVALID"
    assert refusal(made(key=settings.JWT_SECRET, iss="atelier")) == "TOKEN_INVALID"


def test_an_issuer_may_name_its_people_by_another_claim(settings: Any) -> None:
    settings.JWT_ISSUERS = [{"issuer": ISSUER, "secret": SECRET, "audience": ["a", "desk"], "id_claim": "uid"}]
    assert user_for_token(made(uid=7)).subject == "7"
    assert refusal(made()) == "TOKEN_INVALID"


# --- By published keys ---------------------------------------------------------------------------


class Keys(BaseHTTPRequestHandler):
    """An issuer's JWKS endpoint; `server.keys` is what it publishes, None breaks it."""

    def do_GET(self) -> None:
        server: Any = self.server
        server.calls += 1
        if server.keys is None:
            self.send_error(500)
            return
        body = json.dumps({"keys": server.keys}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


def published(key: Any, kid: str, **extra: str) -> dict[str, Any]:
    algorithm: Any = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig", **extra}


@pytest.fixture
def keys() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    server.keys, server.calls = [published(RSA_KEY, "rsa-1"), published(EC_KEY, "ec-1")], 0
    server.url = f"http://127.0.0.1:{server.server_port}/jwks.json"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def key_issuer(settings: Any, keys: Any) -> Iterator[Any]:
    issuers._key_set.cache_clear()
    settings.JWT_ISSUERS = [{"issuer": ISSUER, "jwks_url": keys.url, "audience": "desk"}]
    yield keys
    issuers._key_set.cache_clear()


def test_tokens_of_both_key_kinds_are_believed_for_one_fetch(key_issuer: Any) -> None:
    by_rsa = user_for_token(made(RSA_KEY, "RS256", "rsa-1"))
    assert user_for_token(made(EC_KEY, "ES256", "ec-1")) == by_rsa
    assert key_issuer.calls == 1


def test_a_supabase_project_without_a_secret_signs_with_published_keys(settings: Any, keys: Any) -> None:
    issuers._key_set.cache_clear()
    settings.SUPABASE_URL = keys.url.removesuffix("/jwks.json")
    good = {"iss": f"{settings.SUPABASE_URL}/auth/v1", "aud": "authenticated"}
    assert user_for_token(made(EC_KEY, "ES256", "ec-1", **good)).subject == "person-1"
    assert refusal(made(**good)) == "TOKEN_INVALID"  # a secret that nobody named
    assert refusal(made(EC_KEY, "ES256", "ec-1", **good | {"iss": None})) == "TOKEN_INVALID"


@pytest.mark.parametrize(
    "raw",
    [
        lambda: made(OTHER_RSA_KEY, "RS256", "rsa-1"),
        lambda: made(RSA_KEY, "RS512", "rsa-1"),
        lambda: made(RSA_KEY, "PS256", "rsa-1"),
        lambda: made(RSA_KEY, "RS256", "ec-1"),
        lambda: made(RSA_KEY, "RS256"),
        lambda: made(SECRET, "HS256", "rsa-1"),
        lambda: made(None, "none", "rsa-1"),
        lambda: made(SECRET, "HS256", "oct-1"),  # a secret among the published keys vouches for nothing
        lambda: hmac_with_public_key(),
    ],
)
def test_no_confusion_of_keys_and_algorithms(key_issuer: Any, raw: Any) -> None:
    key_issuer.keys.append({"kty": "oct", "kid": "oct-1", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"})
    assert refusal(raw()) == "TOKEN_INVALID"


def hmac_with_public_key() -> str:
    """The classic: the public key taken as an HMAC secret. PyJWT refuses to make it, so it is made by hand."""
    public = RSA_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    head, payload, _ = made(SECRET, "HS256", "rsa-1").split(".")
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        f"{head}.{payload}".encode(), public
    )
    return f"{head}.{payload}.{jwt.utils.base64url_encode(signature).decode()}"


def test_made_up_key_ids_ask_the_issuer_once(key_issuer: Any) -> None:
    for number in range(20):
        assert refusal(made(RSA_KEY, "RS256", f"made-up-{number}")) == "TOKEN_INVALID"
    assert key_issuer.calls == 1
    assert user_for_token(made(RSA_KEY, "RS256", "rsa-1"))


def test_a_new_key_is_fetched_when_it_is_first_used(key_issuer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    user_for_token(made(RSA_KEY, "RS256", "rsa-1"))
    monkeypatch.setattr(issuers._key_set(key_issuer.url), "_next_fetch", 0.0)  # half a minute later
    key_issuer.keys = [published(OTHER_RSA_KEY, "rsa-2")]

    assert user_for_token(made(OTHER_RSA_KEY, "RS256", "rsa-2"))
    assert refusal(made(RSA_KEY, "RS256", "rsa-1")) == "TOKEN_INVALID"  # no longer published


@pytest.mark.urls("tests.config_api.routes")
def test_keys_out_of_reach_are_503_and_known_ones_outlive_it(key_issuer: Any, client: APIClient) -> None:
    user_for_token(made(RSA_KEY, "RS256", "rsa-1"))
    issuers._key_set(key_issuer.url)._fetched_at -= issuers.FRESH_S
    issuers._key_set(key_issuer.url)._next_fetch = 0.0
    key_issuer.keys = None

    for _ in range(5):
        answer = client.get("/api/who", HTTP_AUTHORIZATION=f"Bearer {made(EC_KEY, 'ES256', 'ec-2')}")
        assert (answer.status_code, answer.json()["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert answer.headers["Retry-After"] == "5"
    assert user_for_token(made(RSA_KEY, "RS256", "rsa-1"))
    assert key_issuer.calls == 2  # a failed fetch is not repeated at once

    issuers._key_set(key_issuer.url)._fetched_at -= issuers.STALE_S
    with pytest.raises(ApiError) as refused:
        user_for_token(made(RSA_KEY, "RS256", "rsa-1"))
    assert refused.value.status_code == 503


# --- Settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("text", "JWT_ISSUERS[0] must be an object"),
        ({}, "JWT_ISSUERS[0].issuer is needed, with at most 255 characters"),
        ({"issuer": 7, "secret": SECRET}, "JWT_ISSUERS[0].issuer must be a text"),
        ({"issuer": ISSUER}, "JWT_ISSUERS[0] needs either secret or jwks_url"),
        (
            {"issuer": ISSUER, "secret": SECRET, "jwks_url": "https://x.example/"},
            "JWT_ISSUERS[0] needs either secret or jwks_url",
        ),
        ({"issuer": ISSUER, "secret": "short"}, "JWT_ISSUERS[0].secret must be at least 32 bytes long"),
        (
            {"issuer": ISSUER, "jwks_url": "file:///etc/passwd"},
            "JWT_ISSUERS[0].jwks_url must be a URL starting with https://",
        ),
        (
            {"issuer": ISSUER, "secret": SECRET, "audience": 7},
            "JWT_ISSUERS[0].audience must be a text or a list of texts",
        ),
        ({"issuer": ISSUER, "secret": SECRET, "algorithms": ["none"]}, "JWT_ISSUERS[0] has an unknown key: algorithms"),
        ({"issuer": "atelier", "secret": SECRET}, "JWT_ISSUERS[0].issuer is already taken"),
    ],
)
def test_an_unusable_issuer_stops_the_start_in_one_line(settings: Any, entry: Any, complaint: str) -> None:
    settings.JWT_ISSUERS = [entry]
    with pytest.raises(SettingError) as error:
        issuers.check()
    assert str(error.value) == complaint


def test_two_entries_may_not_share_a_name(settings: Any) -> None:
    settings.JWT_ISSUERS = [{"issuer": ISSUER, "secret": SECRET}] * 2
    with pytest.raises(SettingError, match=r"JWT_ISSUERS\[1\]"):
        issuers.check()


def test_plain_http_keys_are_for_one_machine_only(settings: Any) -> None:
    settings.LOCAL = False
    settings.JWT_ISSUERS = [{"issuer": ISSUER, "jwks_url": "http://people.example/jwks"}]
    with pytest.raises(SettingError, match="jwks_url"):
        issuers.check()
    settings.JWT_ISSUERS = [{"issuer": ISSUER, "jwks_url": "http://127.0.0.1/jwks"}]
    issuers.check()


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("JWT_SECRET", "JWT_SECRET must be"), ("SUPABASE_JWT_SECRET", "SUPABASE_URL is not set")],
)
def test_a_half_set_short_form_stops_the_start(settings: Any, name: str, complaint: str) -> None:
    setattr(settings, name, "short")
    with pytest.raises(SettingError, match=complaint):
        issuers.check()


def test_nobody_waits_for_an_unconfigured_issuer() -> None:
    assert refusal(made()) == "TOKEN_INVALID"
    assert auth.bearer_token("Basic abc") is None
