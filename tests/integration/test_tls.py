"""Whom the program believes to be who they say, and where it lets itself be sent."""

import re
import ssl

import pytest

from archive import Archive
from servers import faults, images
from servers.tls import DAY, Authority, TlsFront

UNKNOWN = "is not signed by a known authority"
BAD = {
    "wrong host": (dict(names=["s3.example"]), "is for another name"),
    "expired": (dict(begins=-2 * DAY, ends=-DAY), "has expired"),
    "not yet valid": (dict(begins=DAY, ends=2 * DAY), "is not valid yet"),
    "self-signed": (dict(is_self_signed=True), UNKNOWN + ".*self-signed"),
    "unknown authority": (None, UNKNOWN + ".*unable to get local issuer"),
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("stranger"), "nobody knows it")


@pytest.fixture
def front(authority):
    """front(upstream, certificate): TLS in front of a server."""
    made = []

    def factory(upstream, certificate=None, **settings):
        made.append(TlsFront(upstream, certificate or authority.certificate(), **settings).start())
        return made[-1]

    yield factory
    for each in made:
        each.stop()


@pytest.mark.semantics(521)
def test_bad_certificates_are_refused(store, mount, proxy, front, repository, authority, stranger):
    behind = proxy(store.endpoint)
    there = mount(ca_bundle=authority.bundle)
    for at, (kind, (settings, words)) in enumerate(BAD.items()):
        bad = front(behind.url, stranger.certificate() if settings is None
                    else authority.certificate(**settings))
        for option in ("endpoint", "sts_endpoint"):
            line = mount(start=False, ca_bundle=authority.bundle, **{option: bad.url}).refusal()
            assert bad.host in line and re.search(words, line), (kind, line)
        directory = "b%d" % at
        assert there.publish(directory, "%s/%s:v1 x.tar" % (bad.host, repository)).returncode == 1
        assert re.search(words, there.why(directory)[1]), (kind, there.why(directory))
    assert behind.exchanges == []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.semantics(521)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_versions_are_refused(store, mount, front, authority, version):
    old = front(store.endpoint, only_version=version)
    line = mount(start=False, endpoint=old.url, ca_bundle=authority.bundle).refusal()
    assert old.host in line and "TLS 1.2" in line, line


@pytest.mark.parametrize("way", ["ca_bundle", "AWS_CA_BUNDLE", "SSL_CERT_FILE", "profile"])
@pytest.mark.semantics(521)
def test_authorities_are_named_in_four_ways(store, mount, proxy, front, registry, repository,
                                            authority, way):
    """Through TLS 1.2 and 1.3, to store, STS and registry."""
    seen = proxy(store.endpoint), proxy(registry.url)
    s3 = front(seen[0].url, only_version=ssl.TLSVersion.TLSv1_2 if way == "profile" else None)
    settings = {"ca_bundle": authority.bundle} if way == "ca_bundle" else \
        {"environment": {way: str(authority.bundle)}} if way != "profile" else \
        {"files": {".aws/config": "[default]\nca_bundle = %s\n" % authority.bundle}}
    there = mount(endpoint=s3.url, **settings)
    image = images.small().push(registry, repository, "v1")
    shop = front(seen[1].url)
    done = there.publish("b", "%s/%s:v1 x.tar tag=a:b" % (shop.host, repository))
    assert (done.returncode, done.stderr) == (0, "")
    Archive(there.object("b/x.tar")).check(image, "a:b")
    assert there.rows("b/urls.tsv")[0]["url"].startswith(s3.url + "/")
    assert all(each.exchanges for each in seen)


def test_system_authorities_do_not_count_beside_a_bundle(store, mount, front, stranger):
    """And one that cannot be read is no way to believe everybody."""
    good = front(store.endpoint)
    assert UNKNOWN in mount(start=False, endpoint=good.url, ca_bundle=stranger.bundle).refusal()
    assert UNKNOWN in mount(start=False, endpoint=good.url).refusal()
    for bad in ("/dev/null", "/nowhere"):
        assert "CA certificates" in mount(start=False, endpoint=good.url, ca_bundle=bad).refusal()


# ---- where it lets itself be sent ---------------------------------------------------------------

SECRET = "ThisIsSigned"
LINK_LOCAL = ["169.254.169.254", "169.254.169.254.", "0xA9FEA9FE", "2852039166", "0251.0376.0251.0376",
              "169.254.43518", "[fe80::1]", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]",
              "[fd00:ec2::254]", "[64:ff9b::a9fe:a9fe]"]


@pytest.fixture
def shop(registry_basic, repository, mount, proxy, front, authority):
    """A registry behind TLS, a proxy that scripts it, and a mount that has its credentials."""
    image = images.small().push(registry_basic, repository, "v1")
    script = proxy(registry_basic.url)
    tls = front(script.url)
    there = mount(ca_bundle=authority.bundle, docker_config=registry_basic.docker_config(host=tls.host))
    return script, tls, there, image


def redirect(location, status=307):
    return faults.Reply(status, b"", {"Location": location, "Set-Cookie": "session=" + SECRET})


@pytest.mark.semantics(522)
def test_redirects_that_are_not_followed(shop, repository, proxy, registry_basic):
    script, tls, there, _ = shop
    plain = proxy(registry_basic.url)
    cases = [(plain.url + "/x?sig=" + SECRET, "from https to plain http"),
             (tls.url + "/v2/", "more than 5 times"),
             ("ftp://localhost/x", "where nothing can be"),
             ("https://user:%s@localhost/x" % SECRET, "where nothing can be"),
             *(("https://%s/latest/meta-data/iam?sig=%s" % (host, SECRET), "link-local|nothing can be")
               for host in LINK_LOCAL)]
    for at, (location, words) in enumerate(cases):
        script.clear()
        script.inject(redirect(location), "GET", "/blobs/|^/v2/$", count=None)
        line = "%s/%s:v1 x.tar" % (tls.host, repository)
        assert there.publish("b%d" % at, line).returncode == 1
        assert re.search(words, there.why("b%d" % at)[1]), (location, there.why("b%d" % at))
    assert plain.exchanges == [] and there.keys() == []
    assert SECRET not in there.log()


@pytest.mark.semantics(522)
def test_credentials_and_cookies_stay_with_their_origin(shop, repository, front, proxy):
    """Through a stranger and back; and what is signed in a link is not logged when that fails."""
    script, tls, there, image = shop
    elsewhere = proxy(script.url)
    stranger = front(elsewhere.url)
    back = "%s/v2/%s/blobs/%s?sig=%s" % (tls.url, repository, image.layers[0].digest, SECRET)
    script.inject(redirect(stranger.url + "/away?sig=" + SECRET), "GET", "/blobs/" + image.layers[0].digest + "$")
    elsewhere.inject(redirect(back), "GET", "/away")
    script.inject(faults.Reply(404, b"gone"), "GET", "sig=", count=None)
    assert there.publish("b", "%s/%s:v1 x.tar" % (tls.host, repository)).returncode == 1
    away, = elsewhere.seen("GET", "/away")
    returned, = script.seen("GET", "sig=")
    for each in (away, returned):
        assert not {"authorization", "cookie"} & each.headers.keys()
    assert all("authorization" in each.headers for each in script.seen("GET", "/blobs/[^?]*$"))
    assert SECRET not in there.log() and SECRET not in (there.path / "b/status.tsv").read_text()


@pytest.mark.semantics(522)
def test_token_servers_that_are_not_asked(shop, repository):
    script, tls, there, _ = shop
    for at, (realm, words) in enumerate([
            ("http://169.254.169.254/token", "link-local"), ("http://127.0.0.1:9/token", "plain http"),
            ("https://169.254.169.254/token", "link-local"), ("file:///etc/passwd", "no http or https"),
            ("https://0xA9FEA9FE/token", "link-local|no http or https")]):
        script.clear()
        script.inject(faults.registry_error(401, "UNAUTHORIZED", **{
            "WWW-Authenticate": 'Bearer realm="%s",service="x"' % realm}), "GET", "/v2/", count=None)
        directory = "b%d" % at
        assert there.publish(directory, "%s/%s:v1 x.tar" % (tls.host, repository)).returncode == 1
        assert re.search(words, there.why(directory)[1]), (realm, there.why(directory))
