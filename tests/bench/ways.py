"""The ways to bring an image from a registry into a bucket as one file. Each
function does it once, from the start, and returns a Usage."""

import sys

from .docker import Docker
from .usage import measure

AWS = "/usr/bin/aws"    # Debian's: another may come first in PATH


def ours(scene, image, registry=None, endpoint=None, **options):
    """`cp x.ref DIR/`, in a fresh mount of a fresh bucket."""
    if endpoint:
        options["endpoint"] = endpoint
    with scene.bucket() as bucket, scene.mount(bucket, **options) as mount:
        return publish(mount, "build", "%s/%s" % (registry or scene.registry.host, image.name))


def publish(mount, directory, *lines, name="images.ref"):
    (mount.path / directory).mkdir(parents=True, exist_ok=True)
    file = mount.reference_file(*lines, name=name)
    try:
        return measure(["cp", file, mount.path / directory], [mount.pid])
    except RuntimeError as error:
        raise RuntimeError("%s: %s" % (error, mount.why(directory))) from error


def plain_mover(scene, image, registry=None, endpoint=None):
    return _mover("plain", scene, image, registry, endpoint)


def bare_mover(scene, image, registry=None, endpoint=None):
    return _mover("bare", scene, image, registry, endpoint)


def _mover(kind, scene, image, registry, endpoint):
    """See mover.py."""
    with scene.bucket() as bucket:
        return measure([sys.executable, "-B", "-m", "bench.mover", kind,
                        registry or scene.registry.host, image.name,
                        endpoint or scene.store.endpoint, bucket, "build/image.tar"],
                       env=scene.environment())


def skopeo(scene, image, registry=None, endpoint=None):
    """`skopeo copy` to an oci-archive file, `aws s3 cp` of that."""
    script = ('skopeo --tmpdir "$TMPDIR" --insecure-policy copy -q --src-tls-verify=false '
              'docker://"$1" oci-archive:"$2":image && %s --endpoint-url "$3" s3 cp --quiet '
              '"$2" s3://"$4"/build/image.tar' % AWS)
    return _by_file(scene, script, image, registry, endpoint)


def docker(scene, image):
    """`docker pull`, `docker save | gzip`, `aws s3 cp`."""
    script = ('set -o pipefail; docker pull -q "$1" && docker save "$1" | gzip >"$2" && '
              '%s --endpoint-url "$3" s3 cp --quiet "$2" s3://"$4"/build/image.tar.gz' % AWS)
    with Docker(scene.path("d")) as engine:
        return _by_file(scene, script, image, None, None, [engine.pid],
                        DOCKER_HOST=engine.host, DOCKER_CONFIG=str(engine.dir / "client"))


def _by_file(scene, script, image, registry, endpoint, daemons=(), **environment):
    file = scene.path("image")
    with scene.bucket() as bucket:
        try:
            return measure(["bash", "-c", script, "bash",
                            "%s/%s" % (registry or scene.registry.host, image.name), file,
                            endpoint or scene.store.endpoint, bucket], daemons,
                           env=scene.environment(**environment))
        finally:
            file.unlink(missing_ok=True)
