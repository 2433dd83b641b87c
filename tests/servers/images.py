"""Images made from nothing and pushed over the registry's own API.

No engine is needed, and the same arguments give the same bytes, so that
digests may be compared between runs. A layer is `Layer(blob, compression)`;
an `Image` has layers, a config and a manifest; an `Index` has images.
"""

import functools
import gzip
import hashlib
import io
import json
import pathlib
import random
import subprocess
import tarfile

OCI = {
    "manifest": "application/vnd.oci.image.manifest.v1+json",
    "index": "application/vnd.oci.image.index.v1+json",
    "config": "application/vnd.oci.image.config.v1+json",
    "layer": "application/vnd.oci.image.layer.v1.tar",
    "layer gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "layer zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}
DOCKER = {
    "manifest": "application/vnd.docker.distribution.manifest.v2+json",
    "index": "application/vnd.docker.distribution.manifest.list.v2+json",
    "config": "application/vnd.docker.container.image.v1+json",
    "layer": "application/vnd.docker.image.rootfs.diff.tar",
    "layer gzip": "application/vnd.docker.image.rootfs.diff.tar.gzip",
}
CREATED = "2024-01-02T03:04:05Z"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def random_bytes(size, seed):
    """Incompressible, and the same for the same seed."""
    source = random.Random(seed)
    pieces = []
    while size > 0:
        pieces.append(source.randbytes(min(size, 1 << 20)))
        size -= len(pieces[-1])
    return b"".join(pieces)


def tar_of(files):
    """An uncompressed tar. `files`: path -> bytes, or (bytes, mode); a path that
    ends in / is a directory."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in files.items():
            data, mode = content if isinstance(content, tuple) else (content, 0o644)
            entry = tarfile.TarInfo(path.rstrip("/"))
            entry.mtime = 1700000000
            if path.endswith("/"):
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
            else:
                entry.size, entry.mode = len(data), mode
                archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


class Layer:
    """One layer blob. `tar` is what it unpacks to; `blob` is what is stored."""

    def __init__(self, tar, compression="gzip", blob=None):
        self.compression = compression
        self.diff_id = digest_of(tar)
        self.blob = _compress(tar, compression) if blob is None else blob
        self.digest = digest_of(self.blob)

    @property
    def size(self):
        return len(self.blob)


def _compress(data, compression):
    if compression == "gzip":
        return gzip.compress(data, compresslevel=1, mtime=0)
    if compression == "zstd":
        return subprocess.run(["zstd", "-q", "-1", "-c"], input=data,
                              stdout=subprocess.PIPE, check=True).stdout
    return data


def layer(name, size=1000, compression="gzip", seed=None):
    """A layer with one file `data/NAME` of `size` random bytes."""
    return Layer(tar_of({"data/": b"", "data/" + name: random_bytes(size, seed or name)}),
                 compression)


def empty_layer():
    """A tar without members: what a Dockerfile line that changes nothing leaves."""
    return Layer(tar_of({}))


def raw_layer(blob):
    """A layer whose bytes are these, be they a tar or not."""
    return Layer(blob, compression=None)


@functools.lru_cache()
def busybox_layer(message="hello from the container"):
    """A file system in which a container can run: busybox and a few names of it."""
    program = pathlib.Path("/bin/busybox").read_bytes()
    files = {"bin/": b"", "bin/busybox": (program, 0o755), "etc/": b"",
             "etc/passwd": b"root:x:0:0:root:/:/bin/sh\n",
             "message": message.encode() + b"\n", "tmp/": b"", "proc/": b"", "dev/": b"",
             "sys/": b""}
    for name in ("sh", "cat", "ls"):
        files["bin/" + name] = (b"#!/bin/busybox sh\nexec /bin/busybox %s \"$@\"\n"
                                % name.encode(), 0o755)
    return Layer(tar_of(files))


class Image:
    """A manifest with its config and layers."""

    def __init__(self, layers, kind="oci", architecture="amd64", os="linux", variant=None,
                 command=("/bin/busybox", "cat", "/message"), labels=None, annotations=None):
        types = DOCKER if kind == "docker" else OCI
        self.layers = list(layers)
        self.platform = {"architecture": architecture, "os": os}
        if variant:
            self.platform["variant"] = variant
        self.config = _json({
            "created": CREATED, **self.platform,
            "config": {"Cmd": list(command), "Env": ["PATH=/bin"], "Labels": labels or {}},
            "rootfs": {"type": "layers", "diff_ids": [each.diff_id for each in self.layers]},
            "history": [{"created": CREATED, "created_by": "layer %d" % at}
                        for at, _ in enumerate(self.layers)]})
        self.config_digest = digest_of(self.config)
        self.media_type = types["manifest"]
        self.manifest = _json({
            "schemaVersion": 2, "mediaType": self.media_type,
            "config": {"mediaType": types["config"], "digest": self.config_digest,
                       "size": len(self.config)},
            "layers": [{"mediaType": types[("layer " + (each.compression or "")).strip()],
                        "digest": each.digest, "size": each.size} for each in self.layers],
            **({"annotations": annotations} if annotations else {})})
        self.digest = digest_of(self.manifest)

    @property
    def size(self):
        """What all its distinct blobs take, the manifest included."""
        return sum(len(data) for data in self.blobs().values()) + len(self.manifest)

    def blobs(self):
        """digest -> bytes, each once"""
        found = {each.digest: each.blob for each in self.layers}
        found[self.config_digest] = self.config
        return found

    def push(self, registry, repository, *tags):
        session = registry.session()
        for digest, data in self.blobs().items():
            session.push_blob(repository, digest, data)
        for reference in tags or (self.digest,):
            session.push_manifest(repository, reference, self.media_type, self.manifest)
        return self


class File(Layer):
    """A file of an artifact: its bytes, what they are, and its name."""

    def __init__(self, data, media_type, title=None):
        super().__init__(data, None)
        self.media_type = media_type
        self.annotations = {"org.opencontainers.image.title": title} if title else {}


class Artifact(Image):
    """What is no container image: files under a config of another type."""

    def __init__(self, files, config, config_type, artifact_type=None, annotations=None):
        self.layers, self.platform = list(files), {}
        self.config, self.config_digest = config, digest_of(config)
        self.media_type = OCI["manifest"]
        self.manifest = _json({
            "schemaVersion": 2, "mediaType": self.media_type,
            **({"artifactType": artifact_type} if artifact_type else {}),
            "config": {"mediaType": config_type, "digest": self.config_digest,
                       "size": len(config)},
            "layers": [{"mediaType": each.media_type, "digest": each.digest, "size": each.size,
                        **({"annotations": each.annotations} if each.annotations else {})}
                       for each in self.layers],
            **({"annotations": annotations} if annotations else {})})
        self.digest = digest_of(self.manifest)


HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"


def chart(name="web", version="1.2.3", provenance=None, **labels):
    """A Helm chart as `helm push` makes it; with a provenance file two layers."""
    about = {"name": name, "version": version, "description": "A chart", "apiVersion": "v2",
             "type": "application", "appVersion": "9"}
    package = gzip.compress(tar_of({
        name + "/Chart.yaml": "".join("%s: %s\n" % pair for pair in about.items()).encode(),
        name + "/values.yaml": b"replicas: 1\n",
        name + "/templates/config.yaml": b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n"
                                         b"  name: {{ .Release.Name }}\n"}), mtime=0)
    files = [File(package, "application/vnd.cncf.helm.chart.content.v1.tar+gzip")]
    if provenance:
        files.append(File(provenance, "application/vnd.cncf.helm.chart.provenance.v1.prov"))
    return Artifact(files, _json(about), HELM_CONFIG, annotations={
        "org.opencontainers.image.created": CREATED, "org.opencontainers.image.description": "A chart",
        "org.opencontainers.image.title": name, "org.opencontainers.image.version": version,
        **{"org.opencontainers.image." + key: value for key, value in labels.items()}})


def oras(*files, kind="application/vnd.unknown.artifact.v1"):
    """Files as `oras push` makes an artifact of them: (name, bytes) each."""
    return Artifact([File(data, "application/octet-stream", name) for name, data in files],
                    b"{}", "application/vnd.oci.empty.v1+json", kind,
                    {"org.opencontainers.image.created": CREATED})


class Index:
    """Images of several platforms under one name. With `attest`, each has an
    attestation manifest beside it, as buildx makes them (unknown/unknown); True, or
    what makes the statements of one: attest(image) -> [bytes] of SLSA provenance."""

    def __init__(self, images, kind="oci", attest=False, annotations=None):
        types = DOCKER if kind == "docker" else OCI
        self.images = list(images)
        statements = attest if callable(attest) else (lambda image: [provenance(image)])
        self.attestations = [_Attestation(statements(each))
                             for each in self.images] if attest else []
        entries = [_descriptor(each, each.platform) for each in self.images]
        for subject, attestation in zip(self.images, self.attestations):
            entries.append(_descriptor(
                attestation, {"architecture": "unknown", "os": "unknown"},
                {"vnd.docker.reference.digest": subject.digest,
                 "vnd.docker.reference.type": "attestation-manifest"}))
        self.media_type = types["index"]
        self.manifest = _json({"schemaVersion": 2, "mediaType": self.media_type,
                               "manifests": entries,
                               **({"annotations": annotations} if annotations else {})})
        self.digest = digest_of(self.manifest)

    def push(self, registry, repository, *tags):
        for image in self.images + self.attestations:
            image.push(registry, repository)
        session = registry.session()
        for reference in tags or (self.digest,):
            session.push_manifest(repository, reference, self.media_type, self.manifest)
        return self


SLSA_0_2 = "https://slsa.dev/provenance/v0.2"
SLSA_1 = "https://slsa.dev/provenance/v1"


def provenance(subject, predicate=None, kind=SLSA_0_2):
    """An in-toto statement about an image, as its bytes."""
    return _json({"_type": "https://in-toto.io/Statement/v0.1", "predicateType": kind,
                  "subject": [{"name": "image",
                               "digest": {"sha256": subject.digest.split(":")[1]}}],
                  "predicate": predicate or {"builder": {"id": "test"}}})


class _Attestation(Image):
    def __init__(self, statements):
        super().__init__([], architecture="unknown", os="unknown")
        self.layers = [raw_layer(statement) for statement in statements]
        manifest = json.loads(self.manifest)
        manifest["layers"] = [{"mediaType": "application/vnd.in-toto+json",
                               "digest": each.digest, "size": each.size,
                               "annotations": {"in-toto.io/predicate-type": _kind(each.blob)}}
                              for each in self.layers]
        self.manifest = _json(manifest)
        self.digest = digest_of(self.manifest)


def _kind(statement):
    return SLSA_1 if SLSA_1.encode() + b'"' in statement else SLSA_0_2


def _descriptor(image, platform, annotations=None):
    made = {"mediaType": image.media_type, "digest": image.digest,
            "size": len(image.manifest), "platform": platform}
    if annotations:
        made["annotations"] = annotations
    return made


def _json(value):
    return json.dumps(value, separators=(",", ":")).encode()


# The images that tests ask for by name

def small(seed="small", layers=2, size=3000, **options):
    """A few small layers, quick to publish."""
    return Image([layer("%s-%d" % (seed, at), size) for at in range(layers)], **options)


def runnable(message="hello from the container", **options):
    """Prints `message` when it is run."""
    return Image([busybox_layer(message), layer("payload", 20000)], **options)


def large(seed="large", layers=3, size=20 << 20, **options):
    """Incompressible layers, tens of MB in all."""
    return Image([Layer(tar_of({"data/%s-%d" % (seed, at):
                                random_bytes(size, "%s-%d" % (seed, at))}), None)
                  for at in range(layers)], **options)
