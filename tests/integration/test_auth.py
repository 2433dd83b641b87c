"""Who is let in: registries and their credentials, AWS's, and mounts that cannot work."""

import re
import time
from email.utils import formatdate

import pytest

from archive import Archive
from servers import faults, images
from servers.ceph import allow
from servers.registry import PASSWORD, USER, Registry


def published_through(there, registry, repository, host=None):
    """Publishes REPOSITORY:v1; returns cp's outcome."""
    return there.publish("b", "%s/%s:v1 x.tar tag=a:b" % (host or registry.host, repository))


@pytest.mark.parametrize("kind", ["anonymous", "basic", "token", "redirect"])
def test_registry_with_credentials_of_docker_config(stack, repository, mount, kind):
    registry = stack.registry(kind)
    image = images.Image([images.layer("a", 3 << 20), images.layer("b")]).push(
        registry, repository, "v1")
    there = mount(docker_config=registry.docker_config())
    done = published_through(there, registry, repository)
    assert (done.returncode, done.stderr) == (0, "")
    Archive(there.object("b/x.tar")).check(image, "a:b")
    assert PASSWORD not in there.log() and "Authorization: B" not in there.log()


@pytest.mark.parametrize("kind, config", [
    ("basic", None), ("redirect", None), ("token", None),
    ("basic", (USER, "wrong")), ("token", (USER, "wrong")), ("token", ("stranger", PASSWORD))])
def test_registry_that_refuses_is_eacces(stack, repository, mount, kind, config):
    registry = stack.registry(kind)
    images.small().push(registry, repository, "v1")
    there = mount(docker_config=registry.docker_config(*config) if config else None)
    done = published_through(there, registry, repository)
    assert done.returncode == 1 and "Permission denied" in done.stderr
    state, sentence = there.why("b")
    assert state == "failed" and registry.host in sentence
    assert "wrong" not in sentence and PASSWORD not in there.log()
    assert there.keys() == [] and there.uploads() == []


@pytest.mark.semantics(527)
def test_refused_credentials_for_a_public_image_give_way_to_none_once(
        registry_token, bucket, mount):
    repository = "public/" + bucket
    images.small().push(registry_token, repository, "v1")
    there = mount(docker_config=registry_token.docker_config(USER, "wrong for sure"))
    asked = len(registry_token.tokens.requests)
    assert published_through(there, registry_token, repository).returncode == 0
    assert there.publish("c", "%s/%s:v1 y.tar" % (registry_token.host, repository)).returncode == 0
    requests = registry_token.tokens.requests[asked:]
    assert [each["user"] for each in requests] == [USER, None]
    lines = [line for line in there.log().splitlines() if "WARN" in line and " are refused" in line]
    assert len(lines) == 1 and registry_token.host in lines[0] and "config.json" in lines[0]
    assert "wrong for sure" not in there.log()


@pytest.mark.semantics(527)
def test_what_is_missing_and_what_is_refused_are_told_apart(registry_token, repository, mount):
    images.small().push(registry_token, repository, "v1")
    wrong = mount(docker_config=registry_token.docker_config(USER, "wrong for sure"))
    right = mount(docker_config=registry_token.docker_config())
    none = mount()
    for there, image, error, words in [
            (wrong, repository + ":v1", "Permission denied", "are refused, and without them"),
            (none, repository + ":v1", "Permission denied", "there are none for .*docker login"),
            (right, repository + ":v2", "No such file", "answers 404 MANIFEST_UNKNOWN"),
            (right, "test/nobody:v1", "No such file", "answers 404")]:
        done = there.publish("b", "%s/%s x.tar" % (registry_token.host, image))
        assert done.returncode == 1 and error in done.stderr
        assert re.search(words, there.why("b")[1]), there.why("b")


def test_helper_that_fails_is_told_without_its_words(registry_basic, repository, mount):
    """As docker-credential-ecr-login: Basic, by a program that is run without a shell."""
    images.small().push(registry_basic, repository, "v1")
    there = mount(start=False, log_level="info", files={
        "bin/docker-credential-ecr-login":
            "#!/bin/sh\necho 'SECRET on stderr' >&2\nexit 1\n"},
        docker_config={"credHelpers": {registry_basic.host: "ecr-login"}})
    helper = there.home / "bin/docker-credential-ecr-login"
    helper.chmod(0o755)
    there.environment["PATH"] = "%s:%s" % (there.home / "bin", there.environment["PATH"])
    there.start()
    assert published_through(there, registry_basic, repository).returncode == 1
    assert "docker-credential-ecr-login" in there.why("b")[1]
    assert "on stderr" not in there.log() + there.why("b")[1]
    helper.write_text("#!/bin/sh\ncat >/dev/null\necho '{\"Username\":\"%s\",\"Secret\":\"%s\"}'\n"
                      % (USER, PASSWORD))
    assert there.publish("c", "%s/%s:v1 x.tar" % (registry_basic.host, repository)).returncode == 0


def test_public_image_needs_no_credentials_of_a_token_registry(registry_token, bucket, mount):
    repository = "public/" + bucket
    images.small().push(registry_token, repository, "v1")
    there = mount()
    asked = len(registry_token.tokens.requests)
    assert published_through(there, registry_token, repository).returncode == 0
    requests = registry_token.tokens.requests[asked:]
    assert requests and all(each["user"] is None for each in requests)
    assert all(each["query"]["scope"] == ["repository:%s:pull" % repository]
               for each in requests)


@pytest.mark.parametrize("settings", [
    {"token_field": "access_token"}, {"announce_expiry": False}, {"expires_s": 2}])
def test_token_servers_differ(registry_token, repository, mount, settings):
    images.Image([images.layer("l%d" % at) for at in range(4)]).push(
        registry_token, repository, "v1")
    tokens = registry_token.tokens
    before = {name: getattr(tokens, name) for name in settings}
    there = mount(docker_config=registry_token.docker_config())
    try:
        for name, value in settings.items():
            setattr(tokens, name, value)
        done = published_through(there, registry_token, repository)
    finally:
        for name, value in before.items():
            setattr(tokens, name, value)
    assert (done.returncode, done.stderr) == (0, "")


def test_token_that_is_refused_in_the_middle_is_renewed_once(
        registry_token, repository, mount, proxy):
    image = images.Image([images.layer("l%d" % at) for at in range(4)]).push(
        registry_token, repository, "v1")
    front = proxy(registry_token.url)
    challenge = 'Bearer realm="%s",service="%s",scope="repository:%s:pull"' % (
        registry_token.tokens.realm, registry_token.tokens.service, repository)
    refusal = faults.registry_error(401, "UNAUTHORIZED", **{"WWW-Authenticate": challenge})
    front.inject(refusal, "GET", "/blobs/", nth=2)
    there = mount(docker_config=registry_token.docker_config(host=front.host))
    assert published_through(there, registry_token, repository, front.host).returncode == 0
    Archive(there.object("b/x.tar")).check(image, "a:b")
    front.inject(refusal, "GET", "/(blobs|manifests)/", count=None)
    done = there.publish("c", "%s/%s:v1 x.tar" % (front.host, repository))
    assert done.returncode == 1 and "Permission denied" in done.stderr


def test_authorization_does_not_follow_a_redirect(store, stack, repository, mount, proxy, tmp_path):
    front = proxy(store.endpoint)
    stack.registry("redirect")      # for its bucket
    registry = Registry(tmp_path / "r", auth="basic",
                        s3=(front.url, store.publisher, "registry-blobs")).start()
    try:
        image = images.small().push(registry, repository, "v1")
        front.clear()
        entrance = proxy(registry.url)
        there = mount(docker_config=registry.docker_config(host=entrance.host))
        assert published_through(there, registry, repository, entrance.host).returncode == 0
    finally:
        registry.stop()
    fetched = [each for each in front.seen("GET", image.layers[0].digest[7:])
               if "X-Amz-Signature" in each.target]
    assert fetched and not any("authorization" in each.headers for each in fetched)
    assert all("authorization" in each.headers
               for each in entrance.seen("GET", "/blobs/") if each.status != 401)


def test_registries_option_lets_no_other_in(registry, registry_basic, repository, mount):
    images.small().push(registry, repository, "v1")
    there = mount(registries="ghcr.io")
    done = published_through(there, registry, repository)
    assert done.returncode == 1 and "Permission denied" in done.stderr
    assert "registries" in there.why("b")[1]
    allowed = mount(registries=registry.host)
    assert published_through(allowed, registry, repository).returncode == 0


def test_plain_http_only_where_allowed(registry, repository, mount):
    images.small().push(registry, repository, "v1")
    port = registry.host.partition(":")[2]
    there = mount()
    assert published_through(there, registry, repository, "localhost:" + port).returncode == 0
    name = "registry.localhost:" + port     # loopback too, but not one of the names
    done = there.publish("c", "%s/%s:v1 x.tar" % (name, repository))
    assert done.returncode == 1 and there.why("c")[0] == "failed"
    told = mount(insecure_registry=name)
    assert told.publish("d", "%s/%s:v1 x.tar" % (name, repository)).returncode == 0


def credentials_file(keys, profile="default", **more):
    lines = {"aws_access_key_id": keys.access_key, "aws_secret_access_key": keys.secret_key, **more}
    return "[%s]\n" % profile + "".join("%s = %s\n" % pair for pair in lines.items())


NO_KEYS = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}


@pytest.mark.parametrize("layout", [
    "credentials", "config", "profile option", "AWS_PROFILE", "moved files", "environment"])
def test_aws_credentials_are_found(store, mount, layout):
    own = credentials_file(store.publisher)
    named = "[default]\naws_access_key_id = no\naws_secret_access_key = no\n" + \
        credentials_file(store.publisher, "builds")
    settings = {
        "credentials": dict(files={".aws/credentials": own}, environment=NO_KEYS),
        "config": dict(files={".aws/config": own}, environment=NO_KEYS),
        "profile option": dict(files={".aws/credentials": named}, environment=NO_KEYS,
                               profile="builds"),
        "AWS_PROFILE": dict(files={".aws/config": named.replace("[builds]", "[profile builds]")},
                            environment={**NO_KEYS, "AWS_PROFILE": "builds"}),
        "moved files": dict(files={"elsewhere": own}, environment={
            **NO_KEYS, "AWS_SHARED_CREDENTIALS_FILE": None}),
        "environment": dict(files={".aws/credentials": named.replace("builds", "other")}),
    }[layout]
    there = mount(start=False, **settings)
    if layout == "moved files":
        there.environment["AWS_SHARED_CREDENTIALS_FILE"] = str(there.home / "elsewhere")
    there.start()
    (there.path / "b").mkdir()
    assert (there.path / "releases").is_dir()


def builders_role(store, bucket):
    return store.role("builder-" + bucket, "publisher", access=(
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],'
        '"Resource":["arn:aws:s3:::%s","arn:aws:s3:::%s/*"]}]}' % (bucket, bucket)))


def test_role_of_a_profile_publishes_and_outlives_its_session(
        store, mount, registry_basic, repository, bucket, proxy):
    """AssumeRole at the real STS; the registry's credentials come from a helper."""
    images.small().push(registry_basic, repository, "v1")
    front = proxy(store.endpoint)
    config = "[profile builds]\nrole_arn = %s\nsource_profile = default\n" \
             "role_session_name = builder\nduration_seconds = 900\n" % builders_role(store, bucket)
    there = mount(start=False, environment=NO_KEYS, profile="builds", presign_role=None,
                  endpoint=front.url, sts_endpoint=store.endpoint, files={
        ".aws/credentials": credentials_file(store.publisher), ".aws/config": config,
        "bin/docker-credential-tests":
            "#!/bin/sh\n[ \"$(cat)\" = '%s' ] || exit 1\necho a word >&2\n"
            "echo '{\"Username\":\"%s\",\"Secret\":\"%s\"}'\n"
            % (registry_basic.host, USER, PASSWORD)},
        docker_config={"credHelpers": {registry_basic.host: "tests"}})
    (there.home / "bin/docker-credential-tests").chmod(0o755)
    there.environment["PATH"] = "%s:%s" % (there.home / "bin", there.environment["PATH"])
    there.start()
    for method, step in (("POST", r"\?uploads"), ("PUT", "partNumber="), ("POST", "uploadId=")):
        front.inject(faults.s3_error(400, "ExpiredToken"), method, step)
    done = published_through(there, registry_basic, repository)
    assert (done.returncode, done.stderr) == (0, "")
    assert there.log().count("the AWS credentials were renewed") == 3
    assert "a word" in there.log() and PASSWORD not in there.log()


def test_web_identity_signs_in_at_the_real_sts(store, mount, s3, bucket, identities):
    """As a pod's token file (IRSA) does."""
    s3.put_object(Bucket=bucket, Key="b/x", Body=b"x")
    role = store.role("pod-" + bucket, trust=identities.trust(),
                      access=allow(["s3:ListBucket", "s3:GetObject"], "arn:aws:s3:::*"))
    for lives_s, says in ((300, None), (-60, "expired|not let this identity token")):
        there = mount(start=False, presign_role=None, files={"token": identities.token("pod", lives_s=lives_s)},
                      environment={**NO_KEYS, "AWS_ROLE_ARN": role})
        there.environment["AWS_WEB_IDENTITY_TOKEN_FILE"] = str(there.home / "token")
        if says:
            assert re.search(says, there.refusal())
            continue
        there.start()
        assert there.run("cat", "b/x").stdout == "x"


def test_aws_session_token_is_used(store, mount, s3, bucket):
    role = builders_role(store, bucket)
    given = store.client("sts").assume_role(RoleArn=role, RoleSessionName="tests")["Credentials"]
    s3.put_object(Bucket=bucket, Key="b/x", Body=b"x")
    there = mount(presign_role=None, environment={
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["SessionToken"]})
    assert (there.path / "b/x").read_bytes() == b"x"
    assert given["SessionToken"] not in there.log()


@pytest.mark.parametrize("what, settings, words", [
    ("no credentials", dict(environment=NO_KEYS), "credentials"),
    ("unknown key", dict(environment={"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN"}), "AKIAUNKNOWN|refuse"),
    ("wrong secret", dict(environment={"AWS_SECRET_ACCESS_KEY": "wrong"}), "refuse|denied"),
    ("no such bucket", dict(bucket="no-such-bucket"), "no-such-bucket"),
    ("nobody listens", dict(endpoint="http://127.0.0.1:9"), r"127\.0\.0\.1:9"),
    ("role that does not exist", dict(presign_role="arn:aws:iam:::role/Nobody"), "role/Nobody"),
    ("no role ARN", dict(presign_role="S3PresignedURLRole"), "presign_role"),
    ("no such profile", dict(environment=NO_KEYS, profile="nobody", files={
        ".aws/credentials": "[somebody]\naws_access_key_id = a\n"}), "nobody"),
    ("role and profile", dict(presign_profile="links"), "presign_profile"),
])
@pytest.mark.semantics(1001)
def test_mount_that_cannot_work_fails_at_once(store, mount, what, settings, words):
    refused = mount(start=False, **settings)
    line = refused.refusal()
    assert re.search(words, line), line
    assert store.publisher.secret_key not in line


def test_role_that_trusts_somebody_else(store, mount, bucket):
    role = store.role("aloof-" + bucket, "admin")
    assert "aloof-" + bucket in mount(start=False, presign_role=role).refusal()


def test_presigning_with_the_service_accounts_own_key_is_refused(store, mount):
    line = mount(start=False, presign_role=None, presign_profile="links", files={
        ".aws/credentials": credentials_file(store.publisher, "links")}).refusal()
    assert "presign_profile" in line


def test_bucket_of_somebody_else(store, mount, bucket):
    stranger = store.user("stranger-" + bucket)
    assert bucket in mount(start=False, keys=stranger).refusal()


@pytest.mark.parametrize("status, code", [(301, "PermanentRedirect"),
                                          (400, "AuthorizationHeaderMalformed")])
def test_wrong_region(store, mount, proxy, status, code):
    front = proxy(store.endpoint)
    front.inject(faults.s3_error(status, code, **{"x-amz-bucket-region": "eu-central-1"}),
                 count=None)
    assert "eu-central-1" in mount(start=False, endpoint=front.url).refusal()


@pytest.mark.parametrize("minutes, outcome", [(6, "warns"), (-6, "warns"), (20, "fails"),
                                              (-20, "fails"), (1, "is silent")])
def test_clock_is_compared_with_the_servers(store, mount, proxy, minutes, outcome):
    front = proxy(store.endpoint)
    front.inject(faults.Header("Date", formatdate(time.time() + 60 * minutes, usegmt=True)),
                 count=None)
    there = mount(start=False, endpoint=front.url, sts_endpoint=store.endpoint)
    if outcome == "fails":
        assert "clock" in there.refusal()
        return
    there.start()
    assert there.run("ls").returncode == 0
    assert bool(re.search("(?i)warn.*clock|clock.*warn", there.log())) == (outcome == "warns")
