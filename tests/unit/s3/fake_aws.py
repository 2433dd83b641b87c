"""Fakes of what hands out credentials and cannot be had here, on one loopback port, and where
`inside` has been called also where containers and instances look for it.

/sts          AssumeRole and AssumeRoleWithWebIdentity. The keys that it answers are a hash of who
              asked for what: equal keys mean that the whole way to them was equal.
/container    answers whom no, or the right, Authorization comes from
/imds-*       an instance's metadata service, of several kinds
/latest       an instance's metadata service, version 2, at its own address
/github       a CI job's identity token
"""

import hashlib
import http.server
import json
import os
import re
import sys
import threading
import time
import urllib.parse

# ECS's, EKS's, and an instance's.
ADDRESSES = ["169.254.170.2", "169.254.170.23", "169.254.169.254"]
EXPIRY = "2099-01-02T03:04:05Z"


def keys_for(what):
    digest = hashlib.sha256(what.encode()).hexdigest()
    return "ASIA" + digest[:16].upper(), digest[16:56], "token-of:" + what


def token_hash(token):
    """What /sts answers for it: the whole would be long."""
    return hashlib.sha256(token.encode()).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, text, content_type="text/plain"):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if self.path.startswith("/sts"):
            self.send_header("x-amzn-RequestId", "1")
        self.end_headers()
        self.wfile.write(body)

    def answer_keys(self, what):
        access_key, secret_key, token = keys_for(what)
        self.answer(200, json.dumps({
            "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": access_key,
            "SecretAccessKey": secret_key, "Token": token, "Expiration": EXPIRY}))

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()

    # ---- STS ----------------------------------------------------------------------------------

    def do_POST(self):
        form = dict(urllib.parse.parse_qsl(self.body()))
        action = form["Action"]
        signer = re.search(r"Credential=([^/]*)/", self.headers.get("Authorization") or "")
        who = "%s+%s" % (signer.group(1) if signer else "nobody",
                         self.headers.get("X-Amz-Security-Token"))
        if re.match(r"(botocore-session|prereleasefs)-", form["RoleSessionName"]):
            form["RoleSessionName"] = "by-default"
        if "REFUSED" in form["RoleArn"] or form.get("WebIdentityToken") == "stale":
            code = "ExpiredTokenException" if "WebIdentityToken" in form else "AccessDenied"
            self.answer(403, "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code>"
                             "<Message>no</Message></Error><RequestId>1</RequestId>"
                             "</ErrorResponse>" % code, "text/xml")
            return
        access_key, secret_key, token = keys_for(who + json.dumps(form, sort_keys=True))
        self.answer(200, "<%sResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'><%sResult>"
                         "<Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s"
                         "</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>%s"
                         "</Expiration></Credentials></%sResult></%sResponse>"
                    % (action, action, access_key, secret_key,
                       token_hash(token), EXPIRY, action, action),
                    "text/xml")

    # ---- the others ---------------------------------------------------------------------------

    def do_PUT(self):
        self.path = re.sub("^/latest/", "/imds-v2/latest/", self.path)
        kind = self.path.split("/")[1]
        if kind == "imds-v1":
            self.answer(404, "")
        elif kind == "imds-far":    # the answer's last hop was one too few
            time.sleep(2.5)
            self.close_connection = True
        elif self.headers.get("x-aws-ec2-metadata-token-ttl-seconds"):
            self.answer(200, "imds-token")
        else:
            self.answer(400, "")

    def do_GET(self):
        self.path = re.sub("^/latest/", "/imds-v2/latest/", self.path)
        kind, _, rest = self.path[1:].partition("/")
        roles = "latest/meta-data/iam/security-credentials/"
        if kind == "container":
            expected = "container token" if rest == "locked" else None
            if self.headers.get("Authorization") != expected:
                self.answer(401, "")
            else:
                self.answer_keys("container")
        elif kind == "github?job=1&audience=sts.amazonaws.com":
            ok = self.headers.get("Authorization") == "bearer job token"
            self.answer(200 if ok else 401, json.dumps({"count": 9, "value": "identity of the job"}))
        elif kind == "imds-v2" and self.headers.get("x-aws-ec2-metadata-token") != "imds-token":
            self.answer(401, "")
        elif kind == "imds-norole":
            self.answer(404, "")
        elif rest == roles:
            self.answer(200, "instance-role")
        elif rest == roles + "instance-role" and kind == "imds-refused":
            self.answer(200, json.dumps({"Code": "AssumeRoleUnauthorizedAccess",
                                         "Message": "EC2 cannot assume the role"}))
        elif rest == roles + "instance-role":
            self.answer_keys("instance")
        else:
            self.answer(404, "")


def inside():
    """This program starts anew in a network of its own, in which ADDRESSES are this machine's, and
    nothing else is to be reached."""
    mark = "IN_A_NETWORK_OF_ITS_OWN"
    if os.environ.pop(mark, None):
        return
    os.environ[mark] = "yes"
    adds = "".join("ip address add %s/32 dev lo && " % each for each in ADDRESSES)
    os.execvp("unshare", ["unshare", "--net", *["--map-root-user"] * (os.getuid() != 0), "sh", "-c",
                          "ip link set lo up && " + adds + 'exec "$@"', "sh", sys.executable, "-B", *sys.argv])


def start():
    def serve(address, port):
        server = http.server.ThreadingHTTPServer((address, port), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.server_port
    for address in ADDRESSES:
        serve(address, 80)
    return "http://127.0.0.1:%d" % serve("127.0.0.1", 0)
