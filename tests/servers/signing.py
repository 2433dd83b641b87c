"""Signatures as cosign makes them, with keys of the tests' own, and pushed where cosign puts them."""

import base64
import json

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from .images import OCI, digest_of, raw_layer

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
DSSE = "application/vnd.dsse.envelope.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1"


class Key:
    """kind: "ecdsa", "ed25519" or "rsa"."""

    def __init__(self, kind="ecdsa"):
        self._private = {"ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
                         "ed25519": ed25519.Ed25519PrivateKey.generate,
                         "rsa": lambda: rsa.generate_private_key(65537, 2048)}[kind]()
        self.kind = kind

    def sign(self, data):
        if self.kind == "ecdsa":
            return self._private.sign(data, ec.ECDSA(hashes.SHA256()))
        if self.kind == "rsa":
            return self._private.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return self._private.sign(data)

    def pem(self):
        return _public_pem(self._private)

    def private_pem(self):
        return _private_pem(self._private)


def _private_pem(private):
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                 serialization.NoEncryption()).decode()


def _public_pem(private):
    return private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def weak_pem():
    return _public_pem(rsa.generate_private_key(65537, 1024))


def curve_pem():
    return _public_pem(ec.generate_private_key(ec.SECP384R1()))


def payload_of(digest, reference="example.org/app"):
    return json.dumps({"critical": {"identity": {"docker-reference": reference},
                                    "image": {"docker-manifest-digest": digest},
                                    "type": "cosign container image signature"},
                       "optional": None}, separators=(",", ":")).encode()


class Document:
    """A manifest about something: `layers` are (media type, bytes, annotations). Has what an
    images.Image has that is pushed."""

    def __init__(self, layers, subject=None, artifact_type=None, config=b"{}",
                 config_type=OCI["config"], annotations=None):
        self.layers = [(media_type, raw_layer(data), notes) for media_type, data, notes in layers]
        self.config, self.media_type = config, OCI["manifest"]
        self.subject, self.artifact_type = subject, artifact_type
        manifest = {"schemaVersion": 2, "mediaType": self.media_type,
                    "config": {"mediaType": config_type, "digest": digest_of(config), "size": len(config)},
                    "layers": [{"mediaType": media_type, "digest": layer.digest, "size": layer.size,
                                **({"annotations": notes} if notes else {})}
                               for media_type, layer, notes in self.layers]}
        if subject:
            manifest["subject"] = {"mediaType": subject.media_type, "digest": subject.digest,
                                   "size": len(subject.manifest)}
        if artifact_type:
            manifest["artifactType"] = artifact_type
        if annotations:
            manifest["annotations"] = annotations
        self.manifest = json.dumps(manifest, separators=(",", ":")).encode()
        self.digest = digest_of(self.manifest)

    def blobs(self):
        found = {layer.digest: layer.blob for _, layer, _ in self.layers}
        found[digest_of(self.config)] = self.config
        return found

    def descriptor(self):
        made = {"mediaType": self.media_type, "digest": self.digest, "size": len(self.manifest)}
        return {**made, "artifactType": self.artifact_type} if self.artifact_type else made

    def push(self, registry, repository, *tags):
        session = registry.session()
        for digest, data in self.blobs().items():
            session.push_blob(repository, digest, data)
        for reference in tags or (self.digest,):
            session.push_manifest(repository, reference, self.media_type, self.manifest)
        return self


def tag_of(digest, ending=""):
    return digest.replace(":", "-") + ending


def signatures(digest, *keys, payload=None):
    """What `cosign sign --key` pushes as the tag .sig, a layer for each key."""
    payload = payload_of(digest) if payload is None else payload
    return Document([(SIMPLE_SIGNING, payload,
                      {SIGNATURE: _base64(key.sign(payload))}) for key in keys])


def sign(registry, repository, digest, *keys, **options):
    return signatures(digest, *keys, **options).push(registry, repository, tag_of(digest, ".sig"))


def attest(registry, repository, digest, predicate=b'{"attested":true}'):
    return Document([(DSSE, predicate, {"predicateType": "https://slsa.dev/provenance/v1"})]).push(
        registry, repository, tag_of(digest, ".att"))


def statement(image, predicate=SIGN_PREDICATE):
    return json.dumps({"_type": "https://in-toto.io/Statement/v1", "predicateType": predicate,
                       "subject": [{"digest": {"sha256": image.digest[7:]}}], "predicate": {}}).encode()


def bundle(image, key=None, predicate=SIGN_PREDICATE, subject=None, is_message=False, made=None):
    """What cosign 3 pushes as a referrer of `subject`: a statement about the image, or a signature over
    its manifest. `made`: the bundle, where it was made elsewhere."""
    made = made or _bundle(image, key, predicate, is_message)
    return Document([(BUNDLE, json.dumps(made).encode(), None)], subject=subject or image, artifact_type=BUNDLE,
                    config_type="application/vnd.oci.empty.v1+json",
                    annotations={"dev.sigstore.bundle.content": "dsse-envelope",
                                 "dev.sigstore.bundle.predicateType": predicate})


def _bundle(image, key, predicate, is_message):
    made = {"mediaType": BUNDLE, "verificationMaterial": {"publicKey": {"hint": "test"}}}
    if is_message:
        made["messageSignature"] = {
            "messageDigest": {"algorithm": "SHA2_256", "digest": _base64(bytes.fromhex(image.digest[7:]))},
            "signature": _base64(key.sign(image.manifest))}
    else:
        payload = statement(image, predicate)
        signed = b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(payload), payload)
        made["dsseEnvelope"] = {"payload": _base64(payload), "payloadType": "application/vnd.in-toto+json",
                                "signatures": [{"sig": _base64(key.sign(signed))}]}
    return made


def _base64(data):
    return base64.b64encode(data).decode()


def list_referrers(registry, repository, digest, *documents):
    """The list of referrers as who pushes them keeps it where a registry has no API for it."""
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI["index"],
                       "manifests": [each.descriptor() for each in documents]}).encode()
    registry.session().push_manifest(repository, tag_of(digest), OCI["index"], body)
