"""Registries by the names that they have in the world: Docker Hub, Amazon ECR, one under a path,
one with an IPv6 address. Where the name is of the internet, a proxy (HTTPS_PROXY) leads it to a
registry on loopback, behind a certificate of that name."""

import base64
import pathlib
import shutil

import pytest

from archive import Archive
from servers import faults, images
from servers.connect_proxy import ConnectProxy
from servers.registry import PASSWORD, USER, Registry
from servers.tls import Authority, TlsFront

ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
HERE = pathlib.Path(__file__).parent


@pytest.fixture
def internet(tmp_path):
    """internet({name: url}): the environment in which https://NAME is answered by that server."""
    made = []

    def factory(servers):
        authority = Authority(tmp_path / "ca")
        fronts = {name: TlsFront(url, authority.certificate([name])).start()
                  for name, url in servers.items()}
        made.extend(fronts.values())
        made.append(ConnectProxy({name + ":443": front.port for name, front in fronts.items()}).start())
        return made[-1], {"HTTPS_PROXY": made[-1].url, "SSL_CERT_FILE": str(authority.bundle)}

    yield factory
    for each in made:
        each.stop()


@pytest.mark.semantics(750)
def test_docker_hub(registry_token, repository, mount, proxy, internet, docker):
    """By its three names, with the login that docker login leaves."""
    name = repository.replace("test/", "library/")
    image = images.runnable().push(registry_token, name, "v1")
    api = proxy(registry_token.url)
    api.inject(faults.Header("WWW-Authenticate", 'Bearer realm="https://auth.docker.io/token",service="%s",'
                             'scope="repository:%s:pull"' % (registry_token.tokens.service, name)),
               path="/v2/", count=None)
    tokens = registry_token.tokens.realm.removesuffix("/token")
    way, environment = internet({"registry-1.docker.io": api.url, "auth.docker.io": tokens})
    login = base64.b64encode(("%s:%s" % (USER, PASSWORD)).encode()).decode()
    there = mount(environment=environment, registries="docker.io\\,index.docker.io\\,registry-1.docker.io",
                  docker_config={"auths": {"https://index.docker.io/v1/": {"auth": login}}})
    asked = len(registry_token.tokens.requests)
    for host in "docker.io", "index.docker.io", "registry-1.docker.io":
        done = there.publish("b", "%s/%s:v1 %s.tar" % (host, name, host), name=host + ".ref")
        assert (done.returncode, done.stderr) == (0, ""), there.why("b")
        Archive(there.object("b/%s.tar" % host)).check(image, "%s/%s:v1" % (host, name))
    assert set(way.asked) == {"registry-1.docker.io:443", "auth.docker.io:443"}
    assert {each["user"] for each in registry_token.tokens.requests[asked:]} == {USER}
    docker.load(there.path / "b/docker.io.tar")     # which names it without a host
    assert docker.output(name.removeprefix("library/") + ":v1") == "hello from the container\n"
    docker.remove(name.removeprefix("library/") + ":v1")

    seen = len(way.asked)
    for line, words in (("nginx:1", "the registry's host is missing"),
                        ("library/nginx:1", "it does not begin with a registry's host"),
                        ("docker.io/nginx:1", "are written docker.io/library/NAME:TAG")):
        done = there.publish("b", line, name="no.ref")
        assert done.returncode == 1 and "Invalid argument" in done.stderr
        assert words in there.why("b")[1]
    assert len(way.asked) == seen


@pytest.mark.semantics(751)
def test_ecr(registry_basic, repository, mount, proxy, internet, tmp_path):
    """Basic, with the name AWS and a password that Amazon's helper makes; which is a fake here."""
    image = images.small().push(registry_basic, repository, "v1")
    api = proxy(registry_basic.url)
    api.inject(faults.Header("WWW-Authenticate", 'Basic realm="https://%s/",service="ecr.amazonaws.com"' % ECR),
               path="/v2/", count=None)
    way, environment = internet({ECR: api.url})
    programs = tmp_path / "bin"
    programs.mkdir()
    helper = programs / "docker-credential-ecr-login"
    shutil.copy(HERE / "fake_ecr_login.sh", helper)
    helper.chmod(0o755)
    (programs / "password").write_text("expired")
    there = mount(environment={**environment, "PATH": "%s:/usr/bin:/bin" % programs},
                  docker_config={"credHelpers": {ECR: "ecr-login"}})
    line = "%s/%s:v1 x.tar tag=a:b" % (ECR, repository)
    assert "Permission denied" in there.publish("b", line).stderr
    assert "docker-credential-ecr-login" in there.why("b")[1] and ECR in there.why("b")[1]
    # A password of ECR's lives twelve hours: the helper is asked anew, not the mount made anew.
    (programs / "password").write_text(PASSWORD)
    assert there.publish("b", line).returncode == 0, there.why("b")
    Archive(there.object("b/x.tar")).check(image, "a:b")
    assert set(way.asked) == {ECR + ":443"}
    assert set((programs / "asked").read_text().splitlines()) == {"get " + ECR}
    assert all(each.headers["authorization"].startswith("Basic ") for each in api.seen("GET", "/blobs/"))
    assert PASSWORD not in there.log()


@pytest.mark.semantics(752)
def test_a_path_before_the_repository(registry_basic, mount, bucket):
    """As Artifactory, Harbor, GitLab and others have them; to the registry it is the repository."""
    repository = "artifactory/docker-local/team-%s/app" % bucket
    image = images.small().push(registry_basic, repository, "v1")
    there = mount(docker_config=registry_basic.docker_config())
    reference = "%s/%s:v1" % (registry_basic.host, repository)
    assert there.publish("b", reference).returncode == 0
    Archive(there.object("b/app:v1.tar")).check(image, reference)


@pytest.mark.semantics(752, 753)
def test_an_ipv6_address(repository, mount, tmp_path, docker, podman):
    with Registry6(tmp_path / "r6") as registry:
        image = images.runnable().push(registry, repository, "v1")
        reference = "%s/%s:v1" % (registry.host, repository)
        assert registry.host.startswith("[::1]:")
        there = mount(registries=registry.host)
        assert there.publish("b", reference + " x.tar tag=x/y:1").returncode == 0
        Archive(there.object("b/x.tar")).check(image, "x/y:1")
        assert there.rows("b/urls.tsv")[0]["image"] == reference
        for line in reference, reference + " x.tar tag=" + reference, reference.replace("[", "").replace("]", ""):
            assert "Invalid argument" in there.publish("b", line, name="no.ref").stderr
        for engine in docker, podman:
            engine.load(there.path / "b/x.tar")
            assert engine.output("x/y:1") == "hello from the container\n"
            engine.remove("x/y:1")


class Registry6(Registry):
    def __init__(self, directory):
        super().__init__(directory, address="[::1]")

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
