"""The S3, STS and IAM store: a Ceph of one mon, one osd and one radosgw.

The osd keeps its data in memory. What differs from AWS is written down in
docs/decisions and exercised on purpose: If-None-Match is ignored when a
multipart upload completes, and so are conditions on a copy's source.
"""

import json
import pathlib
import subprocess
import urllib.request
import uuid

import boto3
import botocore.config

from .process import Process, free_port, run

REGION = "us-east-1"
ROLE = "S3PresignedURLRole"
LONG_ROLE = "S3PresignedURLRole12h"

CONF = """
[global]
fsid = {fsid}
mon_host = v2:127.0.0.1:{mon_port}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
run_dir = {dir}
crash_dir = {dir}
admin_socket = {dir}/$name.asok
log_file =
log_to_stderr = true
err_to_stderr = true
log_to_syslog = false
mon_cluster_log_to_file = false
ms_bind_ipv6 = false
setuser_match_path =

osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_warn_on_pool_no_redundancy = false

[mon]
mon_data = {dir}/mon
mon_data_avail_warn = 1
mon_data_avail_crit = 1
mon_initial_members = a
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
mon_osd_crush_smoke_test = false

[osd]
osd_data = {dir}/osd
osd_objectstore = memstore
memstore_device_bytes = {bytes}
osd_class_dir = /usr/lib/{arch}/rados-classes
osd_memory_target = 939524096
osd_heartbeat_grace = 600
osd_max_object_name_len = 2048

[client.rgw]
# radosgw alone insists on an encrypted mode, which there is none of without keys
ms_mon_client_mode = crc
rgw_data = {dir}/rgw
rgw_frontends = beast endpoint=127.0.0.1:{rgw_port} tcp_nodelay=1
rgw_enable_apis = s3, sts, iam, admin
rgw_s3_auth_use_sts = true
rgw_sts_key = {sts_key}
rgw_gc_obj_min_wait = 1
rgw_gc_processor_period = 5
rgw_gc_processor_max_time = 5
rgw_lifecycle_work_time = 00:00-23:59
rgw_enable_usage_log = false
rgw_dynamic_resharding = false
rgw_thread_pool_size = 64
rgw_num_rados_handles = 1
debug_rgw = 1
"""


class Keys:
    """An access key and its secret, and the session token of a role's."""

    def __init__(self, access_key, secret_key, session_token=None):
        self.access_key = access_key
        self.secret_key = secret_key
        self.session_token = session_token

    def __repr__(self):
        return "Keys(%s)" % self.access_key


def policy(**statement):
    """An IAM policy of one Allow statement. Compact, because radosgw does not
    decode the `+` that a form body has for a space."""
    return json.dumps({"Version": "2012-10-17",
                       "Statement": [dict(Effect="Allow", **statement)]},
                      separators=(",", ":"))


def allow(actions, *resources):
    """A policy that lets its holder do `actions` on `resources`."""
    return policy(Action=actions, Resource=list(resources))


class Ceph:
    """`endpoint` speaks S3, STS and IAM. `publisher` is the service account,
    `role_arn` the read-only role that it may assume (an hour at most), and
    `long_role_arn` one whose sessions may last twelve."""

    region = REGION

    def __init__(self, directory, capacity_bytes=8 << 30):
        self.dir = pathlib.Path(directory)
        self.port = free_port()
        self.endpoint = "http://127.0.0.1:%d" % self.port
        self._capacity = capacity_bytes
        self._processes = []
        self.publisher = self._admin = None
        self.role_arn = self.long_role_arn = None

    def start(self):
        for name in ("mon", "osd", "rgw"):
            (self.dir / name).mkdir(parents=True)
        fsid = str(uuid.uuid4())
        mon_port = free_port()
        self.conf = self.dir / "ceph.conf"
        self.conf.write_text(CONF.format(
            dir=self.dir, fsid=fsid, mon_port=mon_port, rgw_port=self.port,
            bytes=self._capacity, arch=_multiarch(), sts_key="abcdefghijklmnop"))
        try:
            self._start_mon(fsid, mon_port)
            self._start_osd()
            self._start_rgw()
            self._make_identities()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self):
        # Nothing of it is worth a clean shutdown, which takes the osd seconds.
        for process in reversed(self._processes):
            process.stop(timeout_s=0)
        self._processes = []

    def _start_mon(self, fsid, port):
        monmap = self.dir / "monmap"
        run(["monmaptool", "--create", "--clobber", "--fsid", fsid, "--addv", "a",
             "[v2:127.0.0.1:%d]" % port, monmap])
        run(["ceph-mon", "-c", self.conf, "--mkfs", "-i", "a", "--monmap", monmap])
        mon = self._spawn("ceph-mon", "-i", "a")
        mon.wait_until(lambda: self.ceph("quorum_status"))

    def _start_osd(self):
        osd_uuid = str(uuid.uuid4())
        number = self.ceph("osd", "new", osd_uuid).decode().strip()
        run(["ceph-osd", "-c", self.conf, "-i", number, "--mkfs", "--osd-uuid", osd_uuid])
        self._spawn("ceph-osd", "-i", number)

    def _start_rgw(self):
        # radosgw-admin makes the realm's pools and the first user, so that
        # radosgw finds them and everything else goes through its own API.
        out = json.loads(self._radosgw_admin(
            "user", "create", "--uid=admin", "--display-name=admin",
            "--caps=roles=*;users=*;user-policy=*;buckets=*;metadata=*;oidc-provider=*"))
        key = out["keys"][0]
        self._admin = Keys(key["access_key"], key["secret_key"])
        rgw = self._spawn("radosgw", "-n", "client.rgw")
        rgw.wait_until(self._answers)

    def _answers(self):
        with urllib.request.urlopen(self.endpoint, timeout=5) as reply:
            return reply.status == 200

    def _make_identities(self):
        self.publisher = self.user("publisher")
        self.role_arn = self.role(ROLE, "publisher")
        self.long_role_arn = self.role(LONG_ROLE, "publisher", max_session_s=43200)

    # Identities

    def user(self, name):
        """A new user with keys; buckets that it makes are its own."""
        out = json.loads(self._radosgw_admin(
            "user", "create", "--uid=" + name, "--display-name=" + name))
        return Keys(out["keys"][0]["access_key"], out["keys"][0]["secret_key"])

    def let(self, name, document):
        """Gives the user a policy of its own: all that it may do in others' buckets."""
        self.client("iam", self._admin).put_user_policy(
            UserName=name, PolicyName="access",
            PolicyDocument=json.dumps(document, separators=(",", ":")))

    def let_role(self, arn, name, document):
        """Gives the role one more policy."""
        self.client("iam", self._admin).put_role_policy(
            RoleName=arn.rpartition("/")[2], PolicyName=name,
            PolicyDocument=json.dumps(document, separators=(",", ":")))

    def role(self, name, *trusted_users, max_session_s=3600,
             access=allow("s3:GetObject", "arn:aws:s3:::*"), trust=None):
        """A new role; returns its ARN."""
        trust = trust or policy(Action=["sts:AssumeRole"], Principal={
            "AWS": ["arn:aws:iam:::user/" + user for user in trusted_users]})
        iam = self.client("iam", self._admin)
        made = iam.create_role(RoleName=name, Path="/", MaxSessionDuration=max_session_s,
                               AssumeRolePolicyDocument=trust)
        iam.put_role_policy(RoleName=name, PolicyName="access", PolicyDocument=access)
        return made["Role"]["Arn"]

    def trust_provider(self, provider):
        """STS takes tokens of this identity provider, where a role trusts it."""
        self.client("iam", self._admin).create_open_id_connect_provider(
            Url=provider.url, ClientIDList=["sts.amazonaws.com"], ThumbprintList=[provider.thumbprint])

    def client(self, service="s3", keys=None, endpoint=None, **config):
        """A boto3 client, of the service account unless `keys` says otherwise."""
        keys = keys or self.publisher
        settings = {"signature_version": "s3v4", "s3": {"addressing_style": "path"},
                    "retries": {"max_attempts": 1}}
        if service != "s3":
            settings = {"retries": {"max_attempts": 1}}
        settings.update(config)
        return boto3.session.Session().client(
            service, region_name=REGION, endpoint_url=endpoint or self.endpoint,
            aws_access_key_id=keys.access_key, aws_secret_access_key=keys.secret_key,
            aws_session_token=keys.session_token,
            config=botocore.config.Config(**settings))

    def environment(self, keys=None):
        """What a program finds in its environment when it is the service account."""
        keys = keys or self.publisher
        return {"AWS_ACCESS_KEY_ID": keys.access_key,
                "AWS_SECRET_ACCESS_KEY": keys.secret_key,
                "AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION,
                "AWS_EC2_METADATA_DISABLED": "true"}

    # Commands

    def ceph(self, *args):
        return run(["ceph", "-c", self.conf, "--connect-timeout", "5", *args])

    def bytes_used(self):
        """What the osd's objects take, deleted ones that wait for collection too."""
        socket = self.dir / "osd.0.asok"
        return json.loads(run(["ceph", "--admin-daemon", socket, "perf", "dump"])
                          )["osd"]["stat_bytes_used"]

    def collect(self):
        """Frees what was deleted, or leaves it to the gateway where that is at it just now."""
        self._radosgw_admin("gc", "process", "--include-all")

    def limit_bucket(self, bucket, size_bytes):
        """Gives the bucket a quota; None takes it away."""
        quota = "--quota-scope=bucket", "--bucket=" + bucket
        if size_bytes is None:
            self._radosgw_admin("quota", "disable", *quota)
        else:
            self._radosgw_admin("quota", "set", *quota, "--max-size=%d" % size_bytes)
            self._radosgw_admin("quota", "enable", *quota)

    def _radosgw_admin(self, *args):
        return run(["radosgw-admin", "-c", self.conf, "-n", "client.rgw",
                    "--debug-rgw=0", *args])

    def _spawn(self, program, *args):
        process = Process([program, "-c", self.conf, *args, "-f"],
                          self.dir / (program + ".log"), cwd=self.dir)
        self._processes.append(process)
        return process


def _multiarch():
    return subprocess.check_output(["gcc", "-print-multiarch"], text=True).strip()
